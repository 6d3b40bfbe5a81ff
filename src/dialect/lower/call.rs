//! Function calls: Snowflake's names and argument shapes to those of the function library.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, DuplicateTreatment, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, LambdaFunction, ObjectName, ObjectNamePart, OneOrManyWithParens, OrderByExpr, UnaryOperator, Value,
    WindowType,
};

mod aggregate;
mod text;

pub(super) use aggregate::place;

use super::{
    LowerContext, context,
    expression::{cast, function, number, string},
    moment,
};
use crate::{
    dialect::{SqlError, types::Type},
    names::SemiStructured,
};

fn name_of(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident.value.to_lowercase()),
        _ => None,
    }
}

/// Which argument of a date function names a part, not a column.
fn part_position(name: &str, count: usize) -> Option<usize> {
    match name {
        "dateadd" | "datediff" | "timediff" | "timeadd" | "timestampadd" | "timestampdiff" | "date_part" | "datepart" => Some(0),
        "date_trunc" if count == 2 => Some(0),
        "last_day" if count == 2 => Some(1),
        "time_slice" if count >= 3 => Some(2),
        _ => None,
    }
}

/// Before the arguments are lowered: names of date parts become strings.
pub(super) fn before(f: &mut Function) -> Result<(), SqlError> {
    let Some(name) = name_of(f) else { return Ok(()) };
    let FunctionArguments::List(list) = &mut f.args else { return Ok(()) };
    let count = list.args.len();
    let Some(position) = part_position(&name, count) else { return Ok(()) };
    let to_text = |arg: &mut FunctionArg| {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = arg
            && let Expr::Identifier(ident) = e
        {
            *e = string(ident.value.to_lowercase());
            return true;
        }
        false
    };
    if name == "date_trunc" {
        // also accepted the other way round: DATE_TRUNC(column, 'month')
        if count != 2 {
            return Ok(());
        }
        let first_is_text = matches!(&list.args[0], FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(_))));
        let second_is_text = matches!(&list.args[1], FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(v))) if matches!(v.value, Value::SingleQuotedString(_)));
        if !first_is_text && second_is_text {
            list.args.swap(0, 1);
            return Ok(());
        }
    }
    if let Some(arg) = list.args.get_mut(position) {
        to_text(arg);
    }
    Ok(())
}

pub(super) struct Call {
    function: Function,
    pub(super) args: Vec<Expr>,
    /// Names of arguments given as `name => value`, in lower case.
    names: Vec<Option<String>>,
    distinct: bool,
    order_by: Vec<OrderByExpr>,
}

impl Call {
    /// The call with its present arguments under another name, clauses kept.
    fn named(mut self, name: &str) -> Expr {
        self.function.name = ObjectName::from(vec![Ident::new(name)]);
        if let FunctionArguments::List(list) = &mut self.function.args {
            let distinct = self.distinct;
            list.args = self.args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
            list.duplicate_treatment = distinct.then_some(DuplicateTreatment::Distinct);
        }
        Expr::Function(self.function)
    }

    pub(super) fn take(&mut self, index: usize) -> Expr {
        std::mem::replace(&mut self.args[index], Expr::Value(Value::Null.into()))
    }

    /// Arguments given by name, in the order of the parameters.
    fn by_name(&mut self, parameters: &[&str]) -> Result<(), SqlError> {
        if self.names.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut found: Vec<Option<Expr>> = vec![None; parameters.len()];
        for (i, (arg, name)) in self.args.iter().zip(&self.names).enumerate() {
            let at = match name {
                None => i,
                Some(name) => parameters.iter().position(|p| p == name).ok_or_else(|| {
                    SqlError::new("sql/arguments", format!("there is no argument `{}`", name.to_uppercase())).help(format!(
                        "there are: {}",
                        parameters.iter().map(|p| format!("`{}`", p.to_uppercase())).collect::<Vec<_>>().join(", ")
                    ))
                })?,
            };
            if let Some(slot) = found.get_mut(at) {
                *slot = Some(arg.clone());
            }
        }
        let given = found.iter().take_while(|a| a.is_some()).count();
        if found.iter().skip(given).any(Option::is_some) {
            return Err(SqlError::new("sql/arguments", format!("the argument `{}` is missing", parameters[given].to_uppercase())));
        }
        self.args = found.into_iter().flatten().collect();
        Ok(())
    }

    pub(super) fn arity(&self, name: &str, range: std::ops::RangeInclusive<usize>) -> Result<(), SqlError> {
        if range.contains(&self.args.len()) {
            return Ok(());
        }
        let wanted = if range.start() == range.end() { range.start().to_string() } else { format!("{} to {}", range.start(), range.end()) };
        Err(SqlError::new("sql/arguments", format!("`{}` takes {wanted} arguments, {} were given", name.to_uppercase(), self.args.len())))
    }

    /// Moves ORDER BY of WITHIN GROUP into the argument list, where DataFusion reads it.
    fn order_inside(&mut self) {
        if self.order_by.is_empty() {
            return;
        }
        let order = std::mem::take(&mut self.order_by);
        self.function.within_group.clear();
        if let FunctionArguments::List(list) = &mut self.function.args {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
    }
}

fn is_null(expr: Expr) -> Expr {
    Expr::IsNull(Box::new(expr))
}

pub(super) fn case(conditions: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        end_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: conditions.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect(),
        else_result: otherwise.map(Box::new),
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

/// After the arguments were lowered.
pub(super) fn after(mut f: Function, session: &LowerContext) -> Result<Expr, SqlError> {
    let Some(name) = name_of(&f) else {
        return Err(SqlError::unsupported(format!("the function `{}`", f.name))
            .help("user-defined functions with a schema are not known to the local engine"));
    };
    if let FunctionArguments::None = f.args {
        // CURRENT_DATE and its kin without parentheses
        f.args = FunctionArguments::List(sqlparser::ast::FunctionArgumentList { duplicate_treatment: None, args: vec![], clauses: vec![] });
    }
    let FunctionArguments::List(list) = &mut f.args else { return Ok(Expr::Function(f)) };
    if name.starts_with("object_construct")
        && let [FunctionArg::Unnamed(FunctionArgExpr::WildcardWithOptions(options))] = list.args.as_slice()
    {
        // which of the columns: a call before the wildcard says so
        let mut chosen = vec![];
        match (&options.opt_exclude, &options.opt_ilike, &options.opt_replace, &options.opt_rename, &options.opt_except) {
            (Some(exclude), None, None, None, None) => {
                let names = match exclude {
                    ExcludeSelectItem::Single(name) => std::slice::from_ref(name),
                    ExcludeSelectItem::Multiple(names) => names.as_slice(),
                };
                chosen.push(string("exclude"));
                chosen.extend(names.iter().filter_map(|n| n.0.last().and_then(|p| p.as_ident())).map(|i| string(super::stored(i))));
            }
            (None, Some(ilike), None, None, None) => chosen.extend([string("ilike"), string(ilike.pattern.clone())]),
            _ => return Err(SqlError::unsupported(format!("`{options}` in {}", name.to_uppercase()))),
        }
        let wildcard = FunctionArg::Unnamed(FunctionArgExpr::Wildcard);
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(function("__columns", chosen))), wildcard];
        return Ok(Expr::Function(f));
    }
    if list.args.iter().any(|a| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)))) {
        if matches!(name.as_str(), "object_construct" | "object_construct_keep_null") {
            // the columns are known once the relation is planned
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(relation)) = arg {
                    super::fold_name(relation);
                }
            }
            return Ok(Expr::Function(f));
        }
        let whole_rows = matches!(name.as_str(), "hash" | "hash_agg" | "approx_count_distinct" | "hll");
        let is_qualified = list.args.iter().any(|a| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_))));
        if whole_rows || (name == "count" && is_qualified) {
            let mut args = std::mem::take(&mut list.args);
            for arg in &mut args {
                if let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(relation)) = arg {
                    super::fold_name(relation);
                }
            }
            if name == "hash" {
                list.args = args;
                return Ok(Expr::Function(f));
            }
            // COUNT(t.*) counts rows without any NULL; the others read a row as one value
            let mut row = function(if name == "count" { "__all_present" } else { "__row_key" }, vec![]);
            if let Expr::Function(Function { args: FunctionArguments::List(row), .. }) = &mut row {
                row.args = args;
            }
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(row))];
        } else if name != "count" {
            return Err(SqlError::unsupported(format!("`*` as an argument of `{}`", name.to_uppercase())));
        }
        if !whole_rows {
            f.name = ObjectName::from(vec![Ident::new("count")]);
            return Ok(Expr::Function(f));
        }
    }
    let (mut args, mut names) = (vec![], vec![]);
    for arg in &list.args {
        names.push(match arg {
            FunctionArg::Named { name, .. } => Some(name.value.to_lowercase()),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => Some(name.value.to_lowercase()),
            _ => None,
        });
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => args.push(e.clone()),
            FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. } | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(e), .. } => {
                args.push(e.clone())
            }
            other => return Err(SqlError::unsupported(format!("the argument `{other}`"))),
        }
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    list.duplicate_treatment = None;
    if let Some(WindowType::WindowSpec(spec)) = &f.over {
        aggregate::check_window(&name, spec, distinct)?;
    }
    let mut order_by = std::mem::take(&mut f.within_group);
    order_by.iter_mut().for_each(|key| super::expression::sort_key(&mut key.expr));
    if let Some(WindowType::WindowSpec(spec)) = &mut f.over {
        spec.order_by.iter_mut().for_each(|key| super::expression::sort_key(&mut key.expr));
    }
    let mut call = Call { function: f, args, names, distinct, order_by };
    if let Some(expr) = moment::rewrite(&name, &mut call, session)? {
        return Ok(expr);
    }
    if let Some(expr) = context::rewrite(&name, &mut call, session)? {
        return Ok(expr);
    }
    rewrite(&name, call)
}

fn rewrite(name: &str, mut c: Call) -> Result<Expr, SqlError> {
    Ok(match name {
        // conditional
        "iff" => {
            c.arity(name, 3..=3)?;
            case(vec![(c.take(0), c.take(1))], Some(c.take(2)))
        }
        "nvl" | "ifnull" | "coalesce" => {
            c.arity(name, if name == "coalesce" { 1..=usize::MAX } else { 2..=2 })?;
            let is_text = |e: &Expr| matches!(e, Expr::Value(v) if matches!(v.value, Value::SingleQuotedString(_)));
            if !c.args.iter().skip(1).any(is_text) {
                return Ok(c.named("coalesce"));
            }
            // a text takes the type of what it stands in for, which COALESCE of the planner does not know
            let mut values: Vec<Expr> = c.args.drain(..).collect();
            let last = values.pop();
            case(values.into_iter().map(|v| (Expr::IsNotNull(Box::new(nested(v.clone()))), v)).collect(), last)
        }
        "nvl2" => {
            c.arity(name, 3..=3)?;
            case(vec![(Expr::IsNotNull(Box::new(c.take(0))), c.take(1))], Some(c.take(2)))
        }
        "zeroifnull" => {
            c.arity(name, 1..=1)?;
            function("coalesce", vec![c.take(0), number(0)])
        }
        "nullifzero" => {
            c.arity(name, 1..=1)?;
            function("nullif", vec![c.take(0), number(0)])
        }
        "equal_null" => {
            c.arity(name, 2..=2)?;
            Expr::IsNotDistinctFrom(Box::new(c.take(0)), Box::new(c.take(1)))
        }
        "decode" => {
            c.arity(name, 3..=usize::MAX)?;
            let subject = c.take(0);
            let rest: Vec<Expr> = c.args.drain(1..).collect();
            let mut pairs = rest.chunks(2);
            let (mut conditions, mut otherwise) = (vec![], None);
            for pair in &mut pairs {
                match pair {
                    [value, result] => {
                        conditions.push((Expr::IsNotDistinctFrom(Box::new(subject.clone()), Box::new(value.clone())), result.clone()))
                    }
                    [last] => otherwise = Some(last.clone()),
                    _ => {}
                }
            }
            case(conditions, otherwise)
        }
        "div0" | "div0null" => {
            c.arity(name, 2..=2)?;
            let (a, b) = (c.take(0), c.take(1));
            let mut zero = binary(b.clone(), BinaryOperator::Eq, number(0));
            if name == "div0null" {
                zero = binary(zero, BinaryOperator::Or, is_null(b.clone()));
            }
            // NULLIF keeps the division from being evaluated with a zero in a vectorised CASE
            let quotient = binary(nested(a.clone()), BinaryOperator::Divide, function("nullif", vec![b, number(0)]));
            case(vec![(is_null(a), Expr::Value(Value::Null.into())), (zero, number(0))], Some(quotient))
        }
        "regr_valx" | "regr_valy" => {
            c.arity(name, 2..=2)?;
            let (y, x) = (c.take(0), c.take(1));
            let (value, other) = if name == "regr_valx" { (x, y) } else { (y, x) };
            case(vec![(Expr::IsNotNull(Box::new(other)), value)], None)
        }
        "greatest_ignore_nulls" => c.named("greatest"),
        "least_ignore_nulls" => c.named("least"),
        "booland" | "boolor" => {
            c.arity(name, 2..=2)?;
            let op = if name == "booland" { BinaryOperator::And } else { BinaryOperator::Or };
            nested(binary(truth(c.take(0)), op, truth(c.take(1))))
        }
        "boolnot" => {
            c.arity(name, 1..=1)?;
            Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(truth(c.take(0)))) }
        }
        "greatest" | "least" => {
            // Snowflake: NULL as soon as one argument is; DataFusion ignores NULLs
            let any_null = c.args.iter().cloned().map(is_null).reduce(|a, b| binary(a, BinaryOperator::Or, b));
            let call = c.named(name);
            match any_null {
                Some(condition) => case(vec![(condition, Expr::Value(Value::Null.into()))], Some(call)),
                None => call,
            }
        }
        "system$typeof" if matches!(c.args.as_slice(), [Expr::Value(_)]) => {
            let [Expr::Value(value)] = c.args.as_slice() else { return Ok(c.named(name)) };
            match literal_type(&value.value) {
                Some(text) => string(text),
                None => c.named(name),
            }
        }
        // aggregates
        "array_agg" | "arrayagg" => {
            c.arity(name, 1..=1)?;
            if c.function.over.is_some() && !c.distinct {
                return Ok(aggregate::ordered_window(c, "__array_agg_over"));
            }
            // distinct values are sorted when they are together: two orders of the same values are two arrays
            let sorted = match c.order_by.as_slice() {
                [] => None,
                [key] if c.distinct && key.expr == c.args[0] => {
                    let ascending = key.options.asc != Some(false);
                    Some([ascending, key.options.nulls_first.unwrap_or(!ascending)])
                }
                _ if c.distinct => return Err(SqlError::new("sql/arguments", "`ARRAY_AGG(DISTINCT ...)` is ordered by what it collects")),
                _ => None,
            };
            if sorted.is_some() {
                c.order_by.clear();
                c.function.within_group.clear();
            }
            c.order_inside();
            let value = c.args[0].clone();
            let has_own_filter = c.function.filter.take();
            let not_null = Expr::IsNotNull(Box::new(value));
            if c.function.over.is_none() {
                c.function.filter = Some(Box::new(match has_own_filter {
                    Some(f) => binary(nested(*f), BinaryOperator::And, not_null),
                    None => not_null,
                }));
            }
            let collected = function("__list_to_array", vec![c.named("array_agg")]);
            match sorted {
                Some(flags) => {
                    let flags = flags.into_iter().map(|f| Expr::Value(Value::Boolean(f).into()));
                    function("array_sort", std::iter::once(collected).chain(flags).collect())
                }
                None => collected,
            }
        }
        "array_unique_agg" => {
            c.arity(name, 1..=1)?;
            c.distinct = true;
            c.function.filter = Some(Box::new(Expr::IsNotNull(Box::new(c.args[0].clone()))));
            function("__list_to_array", vec![c.named("array_agg")])
        }
        "listagg" | "string_agg" => {
            c.arity(name, 1..=2)?;
            if c.args.len() == 1 {
                c.args.push(string(""));
            }
            aggregate::ordered_window(c, "__listagg_over")
        }
        "any_value" => {
            c.arity(name, 1..=1)?;
            c.named("first_value")
        }
        "ratio_to_report" => {
            c.arity(name, 1..=1)?;
            let value = c.take(0);
            c.args = vec![value.clone()];
            binary(nested(value), BinaryOperator::Divide, function("nullif", vec![c.named("sum"), number(0)]))
        }
        // conversion
        "to_variant" | "to_array" | "to_object" => {
            c.arity(name, 1..=1)?;
            let target = match name {
                "to_variant" => SemiStructured::Variant,
                "to_array" => SemiStructured::Array,
                _ => SemiStructured::Object,
            };
            cast(c.take(0), Type::Semi(target), false)
        }
        // semi-structured
        "object_agg" => {
            c.arity(name, 2..=2)?;
            let (key, value) = (c.take(0), c.take(1));
            c.args = vec![function("__member", vec![key, value])];
            function("__object_of_members", vec![c.named("array_agg")])
        }
        "filter" | "transform" | "reduce" => {
            c.arity(name, if name == "reduce" { 3..=3 } else { 2..=2 })?;
            let types = match c.args.last_mut() {
                Some(Expr::Lambda(lambda)) => lambda_types(lambda, if name == "reduce" { 2 } else { 1 })?,
                _ => {
                    return Err(SqlError::new(
                        "sql/arguments",
                        format!("the last argument of `{}` is a lambda expression", name.to_uppercase()),
                    ));
                }
            };
            let last = c.args.len() - 1;
            c.args.splice(last..last, types);
            c.named(name)
        }
        "get_path" => {
            c.arity(name, 2..=2)?;
            c.named("get_path")
        }
        "array_length" => c.named("array_size"),
        "array_construct_compact" | "object_construct_keep_null" => c.named(name),
        _ => match text::rewrite(name, c)? {
            Ok(expr) => expr,
            Err(c) => match aggregate::rewrite(name, c)? {
                Ok(expr) => expr,
                Err(mut c) => {
                    c.order_inside();
                    c.named(name)
                }
            },
        },
    })
}

/// The declared types of a lambda's parameters as NULLs of those types; none if none is declared.
fn lambda_types(lambda: &mut LambdaFunction, wanted: usize) -> Result<Vec<Expr>, SqlError> {
    let parameters = match &mut lambda.params {
        OneOrManyWithParens::One(p) => std::slice::from_mut(p),
        OneOrManyWithParens::Many(ps) => ps.as_mut_slice(),
    };
    if parameters.len() != wanted {
        return Err(SqlError::new(
            "sql/arguments",
            format!("the lambda expression takes {wanted} parameters, {} are named", parameters.len()),
        ));
    }
    if parameters.iter().all(|p| p.data_type.is_none()) {
        return Ok(vec![]);
    }
    let null = |of: Type| cast(Expr::Value(Value::Null.into()), of, false);
    parameters
        .iter_mut()
        .map(|p| match p.data_type.take() {
            Some(data_type) => Type::from_sql(&data_type).map(null),
            None => Ok(null(Type::Semi(SemiStructured::Variant))),
        })
        .collect()
}

/// What SYSTEM$TYPEOF says of a literal: as many digits and characters as it has.
fn literal_type(value: &Value) -> Option<String> {
    match value {
        Value::Number(digits, _) if digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let precision = (whole.trim_start_matches('0').len() + fraction.len()).max(1);
            let bytes = match precision {
                0..=2 => 1,
                3..=4 => 2,
                5..=9 => 4,
                10..=18 => 8,
                _ => 16,
            };
            (precision <= 38).then(|| format!("NUMBER({precision},{})[SB{bytes}]", fraction.len()))
        }
        Value::SingleQuotedString(text) => Some(format!("VARCHAR({})[LOB]", text.chars().count())),
        _ => None,
    }
}

fn truth(expr: Expr) -> Expr {
    cast(expr, Type::Boolean, false)
}
