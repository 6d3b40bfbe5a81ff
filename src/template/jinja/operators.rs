//! `+ - * / // % ** ~`, comparisons, `in`, indexing and slicing.

use std::{cmp::Ordering, rc::Rc};

use super::{
    ast::{Comparison, Operator},
    display,
    fault::{Eval, Fault},
    machine::Machine,
    number, text_format,
    value::{Key, MAX_NESTING, Object, Text, Value},
};

/// No string or list is made longer than this by repetition.
const MAX_REPEATED: usize = 16 << 20;

/// No string is made longer than this by joining: one that is doubled in a loop would fill the memory before its steps run
/// out.
const MAX_JOINED: usize = 64 << 20;

fn joined(a: &str, b: &str) -> Eval<Value> {
    if a.len() + b.len() > MAX_JOINED {
        return Err(Fault::new("template/limit", format!("the text would be longer than {} MiB", MAX_JOINED >> 20)));
    }
    Ok(Value::text([a, b].concat()))
}

pub(super) fn binary(operator: Operator, a: &Value, b: &Value) -> Eval<Value> {
    if operator == Operator::Concat {
        // `~` prints both sides; the common case allocates once
        if let (Value::Str(x), Value::Str(y)) = (a, b) {
            return joined(x, y);
        }
        return joined(&display(a), &display(b));
    }
    if let Some(result) = number::arithmetic(operator, a, b) {
        return result;
    }
    match (operator, a, b) {
        (Operator::Add, Value::Str(x), Value::Str(y)) => return joined(x, y),
        (Operator::Add, Value::List(x), Value::List(y)) => {
            let mut items = x.borrow().clone();
            items.extend(y.borrow().iter().cloned());
            return Ok(Value::list(items));
        }
        (Operator::Add, Value::Tuple(x), Value::Tuple(y)) => return Ok(Value::tuple(x.iter().chain(y.iter()).cloned().collect())),
        (Operator::Multiply, Value::Str(_) | Value::List(_) | Value::Tuple(_), Value::Int(n)) => return repeat(a, *n),
        (Operator::Multiply, Value::Int(n), Value::Str(_) | Value::List(_) | Value::Tuple(_)) => return repeat(b, *n),
        (Operator::Remainder, Value::Str(format), _) => return text_format::percent(format, b).map(Value::text),
        (Operator::Subtract, Value::Set(x), Value::Set(y)) => {
            let y = y.borrow();
            return Ok(Value::set(x.borrow().iter().filter(|k| !y.contains(*k)).cloned().collect()));
        }
        _ => {}
    }
    if let Value::Object(o) = a
        && let Some(result) = o.arithmetic(operator, b, false)
    {
        return result;
    }
    if let Value::Object(o) = b
        && let Some(result) = o.arithmetic(operator, a, true)
    {
        return result;
    }
    for side in [a, b] {
        if let Value::Undefined(name) = side {
            return Err(Fault::new("template/undefined", format!("`{name}` is undefined")));
        }
    }
    let fault = Fault::kind(format!("`{}` does not work between `{}` and `{}`", operator.symbol(), a.type_name(), b.type_name()));
    Err(match operator {
        Operator::Add if matches!(a, Value::Str(_)) || matches!(b, Value::Str(_)) => fault.help("`~` joins values of any type as text"),
        _ => fault,
    })
}

fn repeat(value: &Value, n: i64) -> Eval<Value> {
    let n = usize::try_from(n).unwrap_or(0);
    let length = match value {
        Value::Str(s) => s.len(),
        other => other.length().unwrap_or(0),
    };
    if length.saturating_mul(n) > MAX_REPEATED {
        return Err(Fault::new("template/limit", "the repetition would be too long"));
    }
    Ok(match value {
        Value::Str(s) => Value::text(s.repeat(n)),
        Value::List(items) => Value::list(items.borrow().iter().cycle().take(length * n).cloned().collect()),
        Value::Tuple(items) => Value::tuple(items.iter().cycle().take(length * n).cloned().collect()),
        other => other.clone(),
    })
}

pub(super) fn compare(comparison: Comparison, a: &Value, b: &Value) -> Eval<bool> {
    Ok(match comparison {
        Comparison::Eq => a == b,
        Comparison::Ne => a != b,
        Comparison::In => contains(b, a)?,
        Comparison::NotIn => !contains(b, a)?,
        Comparison::Lt => order_of(a, b)? == Some(Ordering::Less),
        Comparison::Le => matches!(order_of(a, b)?, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Gt => order_of(a, b)? == Some(Ordering::Greater),
        Comparison::Ge => matches!(order_of(a, b)?, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// `None` only for NaN; values without an order are an error.
pub(super) fn order_of(a: &Value, b: &Value) -> Eval<Option<Ordering>> {
    order_within(a, b, MAX_NESTING)
}

fn order_within(a: &Value, b: &Value, depth: usize) -> Eval<Option<Ordering>> {
    let incomparable = || Fault::kind(format!("values of type `{}` and `{}` have no order", a.type_name(), b.type_name()));
    let deeper = depth.checked_sub(1).ok_or_else(incomparable)?;
    let sequences = |x: &[Value], y: &[Value]| -> Eval<Option<Ordering>> {
        for (a, b) in x.iter().zip(y) {
            if a != b {
                return order_within(a, b, deeper);
            }
        }
        Ok(Some(x.len().cmp(&y.len())))
    };
    match (a, b) {
        (Value::Str(x), Value::Str(y)) => Ok(Some(x.cmp(y))),
        (Value::List(x), Value::List(y)) => sequences(&x.borrow(), &y.borrow()),
        (Value::Tuple(x), Value::Tuple(y)) => sequences(x, y),
        (Value::Object(x), Value::Object(y)) => x.compare(&**y).map(Some).ok_or_else(incomparable),
        (Value::Undefined(name), _) | (_, Value::Undefined(name)) => {
            Err(Fault::new("template/undefined", format!("`{name}` is undefined")))
        }
        _ if number::as_float(a).is_some() && number::as_float(b).is_some() => Ok(number::compare(a, b)),
        _ => Err(incomparable()),
    }
}

pub(super) fn contains(container: &Value, item: &Value) -> Eval<bool> {
    Ok(match container {
        Value::Str(s) => match item {
            Value::Str(part) => s.contains(&**part),
            Value::Undefined(_) => false,
            other => return Err(Fault::kind(format!("`in` a string needs a string, not `{}`", other.type_name()))),
        },
        Value::List(items) => items.borrow().contains(item),
        Value::Tuple(items) => items.contains(item),
        Value::Dict(dict) => match item {
            Value::Str(s) => dict.borrow().contains_key(&Text(s)),
            other => dict.borrow().contains_key(&Key::new(other.clone())?),
        },
        Value::Set(items) => items.borrow().contains(&Key::new(item.clone())?),
        Value::Undefined(_) => false,
        Value::Object(o) => match o.items() {
            Some(items) => items.contains(item),
            None => return Err(Fault::kind(format!("a value of type `{}` contains nothing", container.type_name()))),
        },
        other => return Err(Fault::kind(format!("a value of type `{}` contains nothing", other.type_name()))),
    })
}

/// `value[key]`; a missing key is undefined.
pub(super) fn item(machine: &mut Machine<'_>, value: &Value, key: &Value) -> Eval<Value> {
    let found = match value {
        Value::Dict(dict) => match key {
            Value::Str(s) => dict.borrow().get(&Text(s)).cloned(),
            other => dict.borrow().get(&Key::new(other.clone())?).cloned(),
        },
        Value::List(items) => index(key, items.borrow().len())?.and_then(|i| items.borrow().get(i).cloned()),
        Value::Tuple(items) => index(key, items.len())?.and_then(|i| items.get(i).cloned()),
        Value::Str(s) if matches!(key, Value::Int(_)) => {
            let length = s.chars().count();
            index(key, length)?.and_then(|i| s.chars().nth(i)).map(|c| Value::text(c.to_string()))
        }
        Value::Object(o) => {
            let o: Rc<dyn Object> = o.clone();
            match o.get_item(machine, key)? {
                Some(found) => Some(found),
                None => match key {
                    Value::Str(name) => o.get_attr(machine, name)?,
                    _ => None,
                },
            }
        }
        Value::Undefined(name) => return Err(Fault::new("template/undefined", format!("`{name}` is undefined"))),
        Value::None => return Err(Fault::new("template/undefined", format!("`None` has no item {}", super::repr(key)))),
        // Jinja tries attributes after items
        other => match key {
            Value::Str(name) => return machine.attribute(other, name),
            _ => None,
        },
    };
    Ok(found.unwrap_or_else(|| Value::Undefined(format!("[{}]", super::repr(key)).into())))
}

fn index(key: &Value, length: usize) -> Eval<Option<usize>> {
    let Some(i) = number::as_int(key) else {
        return match key {
            Value::Str(_) | Value::Undefined(_) => Ok(None),
            other => Err(Fault::kind(format!("an index must be an integer, not `{}`", other.type_name()))),
        };
    };
    let i = if i < 0 { i + length as i64 } else { i };
    Ok(usize::try_from(i).ok().filter(|i| *i < length))
}

pub(super) fn slice(value: &Value, start: Option<&Value>, stop: Option<&Value>, step: Option<&Value>) -> Eval<Value> {
    let bound = |v: Option<&Value>, what: &str| -> Eval<Option<i64>> {
        match v {
            None | Some(Value::None) => Ok(None),
            Some(v) => number::as_int(v)
                .map(Some)
                .ok_or_else(|| Fault::kind(format!("the {what} of a slice must be an integer, not `{}`", v.type_name()))),
        }
    };
    let (start, stop, step) = (bound(start, "start")?, bound(stop, "end")?, bound(step, "step")?.unwrap_or(1));
    if step == 0 {
        return Err(Fault::kind("the step of a slice cannot be zero"));
    }
    let pick = |length: usize| -> Vec<usize> {
        let n = length as i64;
        let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i.saturating_add(n) } else { i }).clamp(low, high);
        let mut picked = vec![];
        if step > 0 {
            let (mut i, end) = (start.map_or(0, |s| clamp(s, 0, n)), stop.map_or(n, |s| clamp(s, 0, n)));
            while i < end {
                picked.push(i as usize);
                i = i.saturating_add(step);
            }
        } else {
            let (mut i, end) = (start.map_or(n - 1, |s| clamp(s, -1, n - 1)), stop.map_or(-1, |s| clamp(s, -1, n - 1)));
            while i > end {
                picked.push(i as usize);
                i = i.saturating_add(step);
            }
        }
        picked
    };
    Ok(match value {
        Value::Str(s) => {
            let chars: Vec<char> = s.chars().collect();
            Value::text(pick(chars.len()).into_iter().map(|i| chars[i]).collect::<String>())
        }
        Value::List(items) => {
            let items = items.borrow();
            Value::list(pick(items.len()).into_iter().map(|i| items[i].clone()).collect())
        }
        Value::Tuple(items) => Value::tuple(pick(items.len()).into_iter().map(|i| items[i].clone()).collect()),
        Value::Undefined(name) => return Err(Fault::new("template/undefined", format!("`{name}` is undefined"))),
        other => match other.iterate() {
            Some(items) if matches!(other, Value::Object(_)) => {
                Value::list(pick(items.len()).into_iter().map(|i| items[i].clone()).collect())
            }
            _ => return Err(Fault::kind(format!("a value of type `{}` cannot be sliced", other.type_name()))),
        },
    })
}
