//! The function library: what DataFusion lacks or answers differently from Snowflake.
//!
//! Each file lists its functions in a table of [`Function`] values: name, number of arguments, result field, body
//! over Arrow arrays. [`register`] puts them beside DataFusion's own, replacing those of the same name.

pub mod aggregate;
pub mod arithmetic;
mod array;
mod array_set;
mod binary;
mod bits;
mod cast;
mod choice;
mod condition;
mod date;
mod date_build;
mod date_format;
mod date_part;
mod description;
mod edit;
mod encoding;
mod generate;
mod geography;
mod interpolation;
mod json;
mod kind;
mod lambda;
pub mod listing;
mod moment_cast;
mod network;
mod number;
mod number_format;
mod object;
mod regular;
mod sample;
mod scalar;
mod similarity;
mod structure;
mod system;
mod table;
mod text;
pub mod value;
mod vector;
mod window;
mod xml;

use std::sync::{Arc, LazyLock};

use datafusion::{
    common::{Result, plan_err},
    execution::FunctionRegistry,
    logical_expr::{Expr, ScalarUDF},
    prelude::lit,
};
pub(super) use moment_cast::exact as moment_text;
pub use scalar::{Arity, Function, Place};
pub use structure::semi_of;

use super::types::Type;

/// All scalar functions of our own.
static LIBRARY: LazyLock<Vec<Arc<ScalarUDF>>> =
    LazyLock::new(|| functions().map(|f| Arc::new(ScalarUDF::new_from_impl(scalar::Implementation::new(f)))).collect());

fn functions() -> impl Iterator<Item = &'static Function> {
    [
        cast::FUNCTIONS,
        json::FUNCTIONS,
        kind::FUNCTIONS,
        array::FUNCTIONS,
        array_set::FUNCTIONS,
        object::FUNCTIONS,
        binary::FUNCTIONS,
        date::FUNCTIONS,
        date_build::FUNCTIONS,
        date_format::FUNCTIONS,
        generate::FUNCTIONS,
        number_format::FUNCTIONS,
        arithmetic::FUNCTIONS,
        number::FUNCTIONS,
        text::FUNCTIONS,
        edit::FUNCTIONS,
        similarity::FUNCTIONS,
        encoding::FUNCTIONS,
        network::FUNCTIONS,
        regular::FUNCTIONS,
        bits::FUNCTIONS,
        condition::FUNCTIONS,
        aggregate::ESTIMATES,
        table::FUNCTIONS,
        sample::FUNCTIONS,
        geography::FUNCTIONS,
        description::FUNCTIONS,
        structure::FUNCTIONS,
        system::FUNCTIONS,
        vector::FUNCTIONS,
        xml::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Puts the library into a session.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for udf in LIBRARY.iter() {
        registry.register_udf(udf.clone())?;
    }
    registry.register_udf(Arc::new(ScalarUDF::new_from_impl(choice::Coalesce::default())))?;
    for udaf in aggregate::all() {
        registry.register_udaf(udaf.clone())?;
    }
    for udwf in window::all() {
        registry.register_udwf(udwf.clone())?;
    }
    for udf in lambda::functions() {
        registry.register_higher_order_function(udf)?;
    }
    Ok(())
}

/// Names of the functions of our own, for listings and tests. Those that begin with `__` are made by the lowering.
pub fn names() -> impl Iterator<Item = &'static str> {
    let plain = LIBRARY.iter().map(|u| u.name()).chain(aggregate::all().map(|u| u.name())).chain(window::all().map(|u| u.name()));
    plain.chain(["filter", "transform", "reduce"])
}

/// Whether a name, in lower case, is a function of the dialect: one of the library, or one that Snowflake's reference has.
pub fn is_documented(name: &str) -> bool {
    static NAMES: LazyLock<std::collections::HashSet<String>> =
        LazyLock::new(|| names().map(str::to_owned).chain(listing::names().map(str::to_lowercase)).collect());
    NAMES.contains(name)
}

/// Whether a function is one of our own: those know semi-structured arguments.
pub fn is_own(name: &str) -> bool {
    LIBRARY.iter().any(|u| u.name() == name)
}

/// A call of one of our functions as an expression.
pub fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match LIBRARY.iter().find(|u| u.name() == name) {
        Some(udf) => Ok(udf.call(args)),
        None => plan_err!("there is no function `{name}`"),
    }
}

/// The date part that a word names, by its canonical name.
pub fn find_part(word: &str) -> Option<String> {
    date_part::Part::find(word).map(|p| format!("{p:?}").to_lowercase())
}

/// Arithmetic over operands of known types, with the place that a fault of its evaluation is told at.
pub fn arithmetic(op: arithmetic::Op, left: Expr, right: Expr, result: Type, place: Option<Place>) -> Result<Expr> {
    placed_call(op.function(), vec![left, right, lit(result.to_string())], place)
}

fn placed_call(name: &str, args: Vec<Expr>, place: Option<Place>) -> Result<Expr> {
    match functions().find(|f| f.name == name) {
        Some(function) => Ok(ScalarUDF::new_from_impl(scalar::Implementation::new(function).at(place)).call(args)),
        None => plan_err!("there is no function `{name}`"),
    }
}

/// Snowflake's CAST.
pub fn cast(expr: Expr, target: Type) -> Expr {
    call("__cast", vec![expr.clone(), lit(target.to_string())]).unwrap_or(expr)
}

/// The identity, with a type put on the result whose Arrow layout does not tell it.
pub fn tag(expr: Expr, of: Type) -> Expr {
    call("__tag", vec![expr.clone(), lit(of.to_string())]).unwrap_or(expr)
}

/// A field of a row that a table function made, with its type.
pub fn row_field(row: Expr, field: &str) -> Result<Expr> {
    call("__row_field", vec![row, lit(field)])
}
