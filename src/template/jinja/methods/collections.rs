//! Methods of `list`, `tuple`, `dict` and `set`. Changes are seen through every name of the same value.

use std::{cell::RefCell, rc::Rc};

use indexmap::IndexSet;

use super::super::{
    arguments::{Args, Expect},
    fault::{Eval, Fault},
    functions::pairs_of,
    machine::Machine,
    operators,
    value::{Dict, Key, Value},
};

pub(super) fn list(machine: &mut Machine<'_>, items: &Rc<RefCell<Vec<Value>>>, name: &str, mut args: Args) -> Eval<Value> {
    match name {
        "append" => {
            let item = args.single(name, "object")?;
            items.borrow_mut().push(item);
        }
        "extend" => {
            let more = args.single(name, "iterable")?.expect_items("the argument of `extend`")?;
            machine.charge(more.len())?;
            items.borrow_mut().extend(more);
        }
        "insert" => {
            let [at, item] = args.bind_required::<2, 2>(name, ["index", "object"])?;
            let (at, item) = (at.unwrap_or(Value::None).expect_int("the index")?, item.unwrap_or(Value::None));
            let mut items = items.borrow_mut();
            let length = items.len() as i64;
            let at = (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length);
            items.insert(at as usize, item);
        }
        "pop" => {
            let [at] = args.bind(name, ["index"])?;
            let at = at.map_or(Ok(-1), |a| a.expect_int("the index"))?;
            let mut items = items.borrow_mut();
            let length = items.len() as i64;
            let at = if at < 0 { at + length } else { at };
            if at < 0 || at >= length {
                return Err(Fault::kind(if length == 0 { "`pop` from an empty list" } else { "`pop` beyond the end of the list" }));
            }
            return Ok(items.remove(at as usize));
        }
        "remove" => {
            let item = args.single(name, "value")?;
            let at = items.borrow().iter().position(|i| *i == item);
            match at {
                Some(at) => drop(items.borrow_mut().remove(at)),
                None => return Err(Fault::kind("`remove`: the value is not in the list")),
            }
        }
        "sort" => {
            let [key, reverse] = args.bind(name, ["key", "reverse"])?;
            let mut sorted = items.borrow().clone();
            let mut keyed = Vec::with_capacity(sorted.len());
            for item in sorted.drain(..) {
                let by = match &key {
                    Some(f) if !f.is_none() => machine.call(f, Args::of(vec![item.clone()]))?,
                    _ => item.clone(),
                };
                keyed.push((by, item));
            }
            sort_by_key(&mut keyed, reverse.is_some_and(|r| r.is_true()))?;
            *items.borrow_mut() = keyed.into_iter().map(|(_, item)| item).collect();
        }
        "reverse" => items.borrow_mut().reverse(),
        "clear" => items.borrow_mut().clear(),
        "copy" => return Ok(Value::list(items.borrow().clone())),
        _ => return sequence(&items.borrow(), name, args),
    }
    Ok(Value::None)
}

/// Stable; the first pair without an order is the error.
pub(in crate::template::jinja) fn sort_by_key(keyed: &mut [(Value, Value)], reverse: bool) -> Eval<()> {
    let mut fault = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let order = match operators::order_of(a, b) {
            Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
            Err(f) => {
                fault.get_or_insert(f);
                std::cmp::Ordering::Equal
            }
        };
        if reverse { order.reverse() } else { order }
    });
    fault.map_or(Ok(()), Err)
}

pub(super) fn sequence(items: &[Value], name: &str, mut args: Args) -> Eval<Value> {
    let item = args.single(name, "value")?;
    match name {
        "count" => Ok(Value::Int(items.iter().filter(|i| **i == item).count() as i64)),
        _ => match items.iter().position(|i| *i == item) {
            Some(at) => Ok(Value::Int(at as i64)),
            None => Err(Fault::kind("`index`: the value is not in the list")),
        },
    }
}

pub(super) fn dict(dict: &Rc<RefCell<Dict>>, name: &str, mut args: Args) -> Eval<Value> {
    match name {
        "get" => {
            let [key, default] = args.bind_required::<1, 2>(name, ["key", "default"])?;
            let key = Key::new(key.unwrap_or(Value::None))?;
            Ok(dict.borrow().get(&key).cloned().or(default).unwrap_or(Value::None))
        }
        "items" => Ok(Value::list(dict.borrow().iter().map(|(k, v)| Value::tuple(vec![k.value().clone(), v.clone()])).collect())),
        "keys" => Ok(Value::list(dict.borrow().keys().map(|k| k.value().clone()).collect())),
        "values" => Ok(Value::list(dict.borrow().values().cloned().collect())),
        "update" => {
            let keyword = std::mem::take(&mut args.keyword);
            let [other] = args.bind(name, ["mapping"])?;
            if let Some(other) = other {
                let pairs = pairs_of(&other)?;
                dict.borrow_mut().extend(pairs);
            }
            dict.borrow_mut().extend(keyword.into_iter().map(|(n, v)| (Key::text(n), v)));
            Ok(Value::None)
        }
        "pop" => {
            let [key, default] = args.bind_required::<1, 2>(name, ["key", "default"])?;
            let key = Key::new(key.unwrap_or(Value::None))?;
            let removed = dict.borrow_mut().shift_remove(&key);
            removed.or(default).ok_or_else(|| Fault::kind(format!("`pop`: the dict has no key {}", super::super::repr(key.value()))))
        }
        "popitem" => match dict.borrow_mut().pop() {
            Some((k, v)) => Ok(Value::tuple(vec![k.value().clone(), v])),
            None => Err(Fault::kind("`popitem` from an empty dict")),
        },
        "setdefault" => {
            let [key, default] = args.bind_required::<1, 2>(name, ["key", "default"])?;
            let key = Key::new(key.unwrap_or(Value::None))?;
            Ok(dict.borrow_mut().entry(key).or_insert(default.unwrap_or(Value::None)).clone())
        }
        "clear" => {
            dict.borrow_mut().clear();
            Ok(Value::None)
        }
        _ => Ok(Value::dict(dict.borrow().clone())),
    }
}

pub(super) fn set(items: &Rc<RefCell<IndexSet<Key>>>, name: &str, mut args: Args) -> Eval<Value> {
    let keys = |v: &Value| -> Eval<IndexSet<Key>> { v.expect_items("the argument")?.into_iter().map(Key::new).collect() };
    let gathered = |args: &mut Args| -> Eval<IndexSet<Key>> {
        let mut all = IndexSet::new();
        for v in args.positional.drain(..) {
            all.extend(keys(&v)?);
        }
        Ok(all)
    };
    match name {
        "add" => {
            let key = Key::new(args.single(name, "element")?)?;
            items.borrow_mut().insert(key);
        }
        "discard" | "remove" => {
            let key = Key::new(args.single(name, "element")?)?;
            if !items.borrow_mut().shift_remove(&key) && name == "remove" {
                return Err(Fault::kind("`remove`: the value is not in the set"));
            }
        }
        "pop" => {
            let first = items.borrow_mut().shift_remove_index(0);
            return first.map(|k| k.value().clone()).ok_or_else(|| Fault::kind("`pop` from an empty set"));
        }
        "update" => {
            let more = gathered(&mut args)?;
            items.borrow_mut().extend(more);
        }
        "difference_update" => {
            let less = gathered(&mut args)?;
            items.borrow_mut().retain(|k| !less.contains(k));
        }
        "union" => {
            let mut all = items.borrow().clone();
            all.extend(gathered(&mut args)?);
            return Ok(Value::set(all));
        }
        "difference" => {
            let less = gathered(&mut args)?;
            return Ok(Value::set(items.borrow().iter().filter(|k| !less.contains(*k)).cloned().collect()));
        }
        "intersection" => {
            let mut kept = items.borrow().clone();
            for v in &args.positional {
                let other = keys(v)?;
                kept.retain(|k| other.contains(k));
            }
            return Ok(Value::set(kept));
        }
        "symmetric_difference" => {
            let other = gathered(&mut args)?;
            let items = items.borrow();
            let only = items.iter().filter(|k| !other.contains(*k)).chain(other.iter().filter(|k| !items.contains(*k)));
            return Ok(Value::set(only.cloned().collect()));
        }
        "issubset" => {
            let other = gathered(&mut args)?;
            return Ok(Value::Bool(items.borrow().iter().all(|k| other.contains(k))));
        }
        "issuperset" => {
            let other = gathered(&mut args)?;
            return Ok(Value::Bool(other.iter().all(|k| items.borrow().contains(k))));
        }
        "isdisjoint" => {
            let other = gathered(&mut args)?;
            return Ok(Value::Bool(!other.iter().any(|k| items.borrow().contains(k))));
        }
        "clear" => items.borrow_mut().clear(),
        _ => return Ok(Value::set(items.borrow().clone())),
    }
    Ok(Value::None)
}
