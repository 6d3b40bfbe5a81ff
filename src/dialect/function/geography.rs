//! The small part of geospatial data that is GeoJSON and arithmetic: points, their coordinates, distances on the sphere.
//!
//! A GEOGRAPHY is kept as its GeoJSON object. Shapes other than points pass through TO_GEOGRAPHY and ST_ASGEOJSON; no
//! predicate or construction over shapes is here.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float64Array},
        datatypes::{FieldRef, Float64Type},
    },
    common::Result,
};

use super::{
    array::text,
    cast::{Failure, convert},
    json::{OBJECT, object, semi, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
};
use crate::dialect::{
    types::Type,
    variant::{
        Kind, kind,
        parse::{self, Duplicates},
        scan, show,
    },
};

/// Mean radius of the earth in metres, as geodesic functions of warehouses take it.
const RADIUS: f64 = 6_371_008.771_415;

const SHAPES: [&str; 9] = [
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
    "Feature",
    "FeatureCollection",
];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("st_makepoint", Arity::Exactly(2), object, make_point),
    Function::new("st_point", Arity::Exactly(2), object, make_point),
    Function::new("st_makegeompoint", Arity::Exactly(2), object, make_point),
    Function::new("st_geompoint", Arity::Exactly(2), object, make_point),
    Function::new("st_x", Arity::Exactly(1), float, |r| coordinate(r, 0)),
    Function::new("st_y", Arity::Exactly(1), float, |r| coordinate(r, 1)),
    Function::new("st_asgeojson", Arity::Exactly(1), object, |r| convert(&r.args[0], r.types[0], OBJECT, Failure::Error)),
    Function::new("st_aswkt", Arity::Exactly(1), varchar, wkt),
    Function::new("st_astext", Arity::Exactly(1), varchar, wkt),
    Function::new("st_distance", Arity::Exactly(2), float, |r| {
        let (a, b) = (semi(r, 0)?, semi(r, 1)?);
        let distances = (0..r.rows).map(|i| {
            let (Some(a), Some(b)) = (point(text(&a, i)?)?, point(text(&b, i)?)?) else { return Ok(None) };
            Ok(Some(haversine(a, b)))
        });
        Ok(Arc::new(distances.collect::<Result<Float64Array>>()?))
    }),
    Function::new("to_geography", Arity::Between(1, 2), object, |r| geography(r, false)),
    Function::new("try_to_geography", Arity::Between(1, 2), object, |r| geography(r, true)),
    Function::new("st_geographyfromtext", Arity::Between(1, 2), object, |r| geography(r, false)),
    Function::new("st_geographyfromwkt", Arity::Between(1, 2), object, |r| geography(r, false)),
];

fn float(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Float.field(call.name))
}

fn numbers(r: &Rows, index: usize) -> Result<Float64Array> {
    Ok(convert(&r.args[index], r.types[index], Type::Float, Failure::Error)?.as_primitive::<Float64Type>().clone())
}

fn point_text(longitude: f64, latitude: f64) -> String {
    format!("{{\"coordinates\":[{},{}],\"type\":\"Point\"}}", parse::double(longitude), parse::double(latitude))
}

fn make_point(r: &Rows) -> Result<ArrayRef> {
    let (longitude, latitude) = (numbers(r, 0)?, numbers(r, 1)?);
    texts(r, |i| {
        if longitude.is_null(i) || latitude.is_null(i) {
            return Ok(None);
        }
        let (x, y) = (longitude.value(i), latitude.value(i));
        if !(-90.0..=90.0).contains(&y) || !(-180.0..=180.0).contains(&x) {
            return fail(format!("Invalid Lng/Lat pair: {x},{y}"));
        }
        Ok(Some(point_text(x, y)))
    })
}

/// Longitude and latitude of a point; NULL for NULL.
fn point(value: &str) -> Result<Option<(f64, f64)>> {
    if value.is_empty() {
        return Ok(None);
    }
    if scan::member(value, "\"type\"") != Some("\"Point\"") {
        return fail("the local engine computes with points only, not with other shapes");
    }
    let numbers: Vec<f64> =
        scan::member(value, "\"coordinates\"").and_then(scan::elements).into_iter().flatten().filter_map(|n| n.parse().ok()).collect();
    match numbers.as_slice() {
        [x, y, ..] => Ok(Some((*x, *y))),
        _ => fail("a point has two coordinates"),
    }
}

fn coordinate(r: &Rows, index: usize) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    let numbers = (0..r.rows).map(|i| Ok(point(text(&values, i)?)?.map(|p| if index == 0 { p.0 } else { p.1 })));
    Ok(Arc::new(numbers.collect::<Result<Float64Array>>()?))
}

/// Metres on the sphere.
fn haversine((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> f64 {
    let (a, b) = (y1.to_radians(), y2.to_radians());
    let (half_y, half_x) = ((b - a) / 2.0, (x2 - x1).to_radians() / 2.0);
    let h = half_y.sin().powi(2) + a.cos() * b.cos() * half_x.sin().powi(2);
    2.0 * RADIUS * h.sqrt().min(1.0).asin()
}

fn wkt(r: &Rows) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    texts(r, |i| Ok(point(text(&values, i)?)?.map(|(x, y)| format!("POINT({x} {y})"))))
}

/// From GeoJSON, or from `POINT(x y)`.
fn geography(r: &Rows, lenient: bool) -> Result<ArrayRef> {
    let values = semi(r, 0)?;
    texts(r, |i| {
        if values.is_null(i) {
            return Ok(None);
        }
        let given = show::varchar(values.value(i)).unwrap_or_default();
        let read = if kind(values.value(i)) == Kind::Object { Some(values.value(i).to_owned()) } else { from_text(&given) };
        match read.filter(|v| scan::member(v, "\"type\"").and_then(scan::string_of).is_some_and(|t| SHAPES.contains(&t.as_ref()))) {
            Some(value) => Ok(Some(value)),
            None if lenient => Ok(None),
            None => fail(format!("the local engine reads geography from GeoJSON and from `POINT(x y)`, not from '{given}'")),
        }
    })
}

fn from_text(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('{') {
        return parse::parse(text, Duplicates::Refuse).ok().flatten();
    }
    let upper = text.to_uppercase();
    let inner = upper.strip_prefix("POINT")?.trim().strip_prefix('(')?.strip_suffix(')')?;
    let numbers: Vec<f64> = inner.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [x, y] => Some(point_text(*x, *y)),
        _ => None,
    }
}
