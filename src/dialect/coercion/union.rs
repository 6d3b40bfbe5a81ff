//! The columns of set operators: one type for what the inputs have in each place (Snowflake documentation, "Set operators").

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field},
    common::{Column, Result, tree_node::Transformed},
    logical_expr::{Expr, LogicalPlan, Projection, Union},
    prelude::lit,
};

use super::{
    super::{
        function,
        types::{LENGTH, Type},
    },
    meeting,
};

/// Columns of a UNION's inputs in one type each.
pub(super) fn unite(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    if union.inputs.iter().any(|p| p.schema().fields().len() != width) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let is_empty = |f: &Field| *f.data_type() == DataType::Null;
    let targets: Vec<Option<Type>> = (0..width)
        .map(|i| {
            let fields = union.inputs.iter().map(|p| p.schema().field(i));
            let types: Vec<Type> = fields.filter(|f| !is_empty(f)).map(|f| Type::of(f)).collect();
            meeting(&types).or_else(|| numeric(&types))
        })
        .collect();
    // a column holds what the longest of its texts may be
    let length = |f: &Field| f.metadata().get(LENGTH).and_then(|n| n.parse::<u64>().ok());
    let lengths: Vec<Option<Option<u64>>> = (0..width)
        .map(|i| {
            let fields = || union.inputs.iter().map(|p| p.schema().field(i)).filter(|f| !is_empty(f));
            let first = length(fields().next()?);
            let longest = fields().map(|f| length(f)).reduce(|a, b| Some(a?.max(b?)))?;
            (fields().any(|f| length(f) != first) && fields().all(|f| Type::of(f) == Type::Varchar)).then_some(longest)
        })
        .collect();
    if targets.iter().all(Option::is_none) && lengths.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let cast = |input: &Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
        let exprs = input.schema().iter().zip(targets.iter().zip(&lengths)).map(|((qualifier, field), (target, longest))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            if let Some(longest) = longest.filter(|longest| *longest != length(field)) {
                let sized = match longest {
                    Some(n) => function::call("__sized", vec![column, lit(n as i64)])?,
                    None => function::tag(column, Type::Varchar),
                };
                return Ok(sized.alias_qualified(qualifier.cloned(), field.name()));
            }
            Ok(match target {
                Some(to) if Type::of(field) != *to || is_empty(field) => {
                    function::cast(column, *to).alias_qualified(qualifier.cloned(), field.name())
                }
                _ => column,
            })
        });
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs.collect::<Result<Vec<_>>>()?, Arc::clone(input))?)))
    };
    let inputs = union.inputs.iter().map(cast).collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// Text among the numbers of a set operator is read as numbers, with five digits behind the point (Snowflake documentation,
/// "Set operators", "Data type conversion"). `None`: there is no text, or something else.
fn numeric(types: &[Type]) -> Option<Type> {
    let (texts, others): (Vec<Type>, Vec<Type>) = types.iter().partition(|t| **t == Type::Varchar);
    if texts.is_empty() || others.is_empty() {
        return None;
    }
    if others.contains(&Type::Float) && others.iter().all(|t| t.is_numeric()) {
        return Some(Type::Float);
    }
    let (mut whole, mut scale) = (13, 5);
    for of in others {
        let Type::Number { precision, scale: own } = of else { return None };
        whole = whole.max(i32::from(precision) - i32::from(own));
        scale = scale.max(i32::from(own));
    }
    Some(Type::number((whole + scale).min(38), scale))
}
