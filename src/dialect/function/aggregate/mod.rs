//! Aggregate functions that DataFusion lacks or answers differently.

mod collection;
mod gathered;
mod rank;
mod similarity;
mod sketch;
mod statistic;
mod total;

use std::sync::{Arc, LazyLock};

use datafusion::{
    common::ScalarValue,
    logical_expr::{AggregateUDF, Expr},
};

use super::scalar::Place;
pub(super) use sketch::ESTIMATES;

/// All aggregates of our own; each is a window function too.
static LIBRARY: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let totals = [total::Kind::Sum, total::Kind::Average, total::Kind::WindowAverage];
    [collection::AGGREGATES, rank::AGGREGATES, statistic::AGGREGATES, similarity::AGGREGATES, sketch::AGGREGATES]
        .into_iter()
        .flatten()
        .map(|a| AggregateUDF::new_from_impl(gathered::Gathered::new(a)))
        .chain(totals.into_iter().map(|k| AggregateUDF::new_from_impl(total::Total::new(k))))
        .map(Arc::new)
        .collect()
});

pub(super) fn all() -> impl Iterator<Item = &'static Arc<AggregateUDF>> {
    LIBRARY.iter()
}

/// Behind this character stands the place of a call, in a last argument that the lowering appends to sums.
const MARK: char = '\u{1}';

/// The place of a call as text for its last argument.
pub fn mark(place: &Place) -> String {
    format!("{MARK}{}{MARK}{}{MARK}{}", place.range.start, place.range.end, place.excerpt)
}

/// Takes a [`mark`] off the arguments, and gives the function that knows its place.
pub fn unmark(func: &AggregateUDF, args: &mut Vec<Expr>) -> Option<Arc<AggregateUDF>> {
    let Some(Expr::Literal(ScalarValue::Utf8(Some(text)), _)) = args.last() else { return None };
    let mut parts = text.strip_prefix(MARK)?.splitn(3, MARK);
    let (start, end, excerpt) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.to_owned());
    args.pop();
    let total = total::Total::of_name(func.name())?;
    Some(Arc::new(AggregateUDF::new_from_impl(total.at(Place { range: start..end, excerpt }))))
}
