//! Events to Arrow batches of the landing table, columns in upper case.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    listener::NO_SONG,
    people::Person,
    population::{Numbered, Simulation},
};
use crate::simulate::catalog::Song;

/// Columns of the landing table. Those of a user are null while nobody is shown, those of a song while none plays.
pub fn schema() -> SchemaRef {
    let (text, number) = (DataType::Utf8, DataType::Int64);
    Arc::new(Schema::new(vec![
        Field::new("TS", number.clone(), false),
        Field::new("USERID", text.clone(), false),
        Field::new("SESSIONID", number.clone(), false),
        Field::new("PAGE", text.clone(), false),
        Field::new("AUTH", text.clone(), false),
        Field::new("METHOD", text.clone(), false),
        Field::new("STATUS", number.clone(), false),
        Field::new("LEVEL", text.clone(), false),
        Field::new("ITEMINSESSION", number.clone(), false),
        Field::new("LOCATION", text.clone(), true),
        Field::new("USERAGENT", text.clone(), true),
        Field::new("LASTNAME", text.clone(), true),
        Field::new("FIRSTNAME", text.clone(), true),
        Field::new("REGISTRATION", number, true),
        Field::new("GENDER", text.clone(), true),
        Field::new("ARTIST", text.clone(), true),
        Field::new("SONG", text, true),
        Field::new("LENGTH", DataType::Float64, true),
        Field::new("EVENT_DATE", DataType::Date32, false),
    ]))
}

pub(in crate::simulate) fn batch(simulation: &Simulation, events: &[Numbered]) -> Result<RecordBatch, ArrowError> {
    let world = &simulation.world;
    let node = |e: &Numbered| &world.machine.nodes[usize::from(e.event.state)];
    let listener = |e: &Numbered| node(e).shown.then(|| &simulation.listeners[e.event.user as usize]);
    let song = |e: &Numbered| (e.event.song != NO_SONG).then(|| &world.catalog.songs[e.event.song as usize]);
    let gender = |p: Person| world.genders[usize::from(p.gender)].0.as_str();

    let number = |f: &dyn Fn(&Numbered) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(events.iter().map(f))) };
    let state = |f: &dyn Fn(&super::config::State) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| f(&world.machine.nodes[usize::from(e.event.state)].state))))
    };
    let shown = |f: &dyn Fn(Person) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter(events.iter().map(|e| listener(e).map(|l| f(l.person)))))
    };
    let played = |f: &dyn Fn(&Song) -> String| -> ArrayRef {
        let text = |e: &Numbered| (e.event.song != NO_SONG).then(|| f(&world.catalog.songs[e.event.song as usize]));
        Arc::new(StringArray::from_iter(events.iter().map(text)))
    };
    let user = |e: &Numbered| if node(e).shown { (simulation.first_user + u64::from(e.event.user)).to_string() } else { String::new() };
    RecordBatch::try_new(
        schema(),
        vec![
            number(&|e| e.event.ts),
            Arc::new(StringArray::from_iter_values(events.iter().map(user))),
            number(&|e| e.session as i64),
            state(&|s| &s.page),
            state(&|s| &s.auth),
            state(&|s| &s.method),
            number(&|e| node(e).state.status),
            state(&|s| &s.level),
            number(&|e| i64::from(e.event.item)),
            shown(&|p| p.location().to_owned()),
            shown(&|p| p.agent().to_owned()),
            shown(&|p| p.last_name().to_owned()),
            shown(&|p| p.first_name(gender(p)).to_owned()),
            Arc::new(Int64Array::from_iter(events.iter().map(|e| listener(e).map(|l| l.registration)))),
            shown(&|p| gender(p).to_owned()),
            played(&|s| world.catalog.main_artist(s).name.clone()),
            played(&|s| s.title.clone()),
            Arc::new(Float64Array::from_iter(events.iter().map(|e| song(e).map(|s| s.length)))),
            Arc::new(Date32Array::from_iter_values(events.iter().map(|e| e.event.ts.div_euclid(86_400_000) as i32))),
        ],
    )
}
