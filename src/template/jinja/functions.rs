//! The functions of the language: Jinja's, and the Python ones that dbt projects call.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use indexmap::{IndexMap, IndexSet};

use super::{
    arguments::{Args, Expect},
    ast::Name,
    display,
    fault::{Eval, Fault},
    machine::Machine,
    value::{Dict, Key, Object, Value},
};

const NAMES: &[&str] = &["range", "dict", "namespace", "cycler", "joiner", "zip", "set", "return"];

/// A range is a list here; this bounds it.
const MAX_RANGE: i64 = 1_000_000;

pub(super) fn find(name: &str) -> Option<&'static str> {
    NAMES.iter().copied().find(|n| *n == name)
}

pub(super) fn call(machine: &mut Machine<'_>, name: &str, mut args: Args) -> Eval<Value> {
    match name {
        "range" => {
            let [a, b, step] = args.bind_required::<1, 3>("range", ["start", "stop", "step"])?;
            let int = |v: &Option<Value>| v.as_ref().map(|v| v.expect_int("an argument of `range`")).transpose();
            let (a, b, step) = (int(&a)?.unwrap_or(0), int(&b)?, int(&step)?.unwrap_or(1));
            let (start, stop) = b.map_or((0, a), |b| (a, b));
            if step == 0 {
                return Err(Fault::kind("the step of `range` cannot be zero"));
            }
            let distance = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
            let count = if distance <= 0 { 0 } else { (distance - 1) / step.saturating_abs() + 1 };
            if count > MAX_RANGE {
                return Err(Fault::new("template/limit", format!("`range` of {count} numbers; at most {MAX_RANGE} are made")));
            }
            machine.charge(count as usize / 8)?;
            Ok(Value::list((0..count).map(|i| Value::Int(start + i * step)).collect()))
        }
        "dict" => {
            let keyword = std::mem::take(&mut args.keyword);
            let [base] = args.bind("dict", ["mapping"])?;
            let mut dict = base.map_or_else(|| Ok(Dict::new()), |b| pairs_of(&b))?;
            dict.extend(keyword.into_iter().map(|(n, v)| (Key::text(n), v)));
            Ok(Value::dict(dict))
        }
        "namespace" => {
            let keyword = std::mem::take(&mut args.keyword);
            let [base] = args.bind("namespace", ["mapping"])?;
            let mut attributes = IndexMap::new();
            if let Some(base) = base {
                attributes.extend(pairs_of(&base)?.into_iter().map(|(k, v)| (Name::from(display(k.value())), v)));
            }
            attributes.extend(keyword);
            Ok(Value::object(Namespace(RefCell::new(attributes))))
        }
        "cycler" if args.positional.is_empty() => Err(Fault::kind("`cycler` needs at least one value")),
        "cycler" => Ok(Value::object(Cycler { items: args.positional, at: Cell::new(0) })),
        "joiner" => {
            let [separator] = args.bind("joiner", ["sep"])?;
            Ok(Value::object(Joiner { separator: separator.unwrap_or_else(|| Value::text(", ")), used: Cell::new(false) }))
        }
        "zip" => zip(args.positional),
        "set" => {
            let [items] = args.bind("set", ["iterable"])?;
            let items = items.map_or(Ok(vec![]), |i| i.expect_items("the argument of `set`"))?;
            Ok(Value::set(items.into_iter().map(Key::new).collect::<Eval<IndexSet<_>>>()?))
        }
        other => Err(Fault::new("template/undefined", format!("`{other}` is undefined"))),
    }
}

pub(in crate::template) fn zip(iterables: Vec<Value>) -> Eval<Value> {
    let lists = iterables.iter().map(|v| v.expect_items("an argument of `zip`")).collect::<Eval<Vec<_>>>()?;
    let length = lists.iter().map(Vec::len).min().unwrap_or(0);
    Ok(Value::list((0..length).map(|i| Value::tuple(lists.iter().map(|l| l[i].clone()).collect())).collect()))
}

/// A dict, or a list of pairs.
pub(super) fn pairs_of(value: &Value) -> Eval<Dict> {
    if let Value::Dict(dict) = value {
        return Ok(dict.borrow().clone());
    }
    if let Some(Namespace(attributes)) = value.downcast() {
        return Ok(attributes.borrow().iter().map(|(k, v)| (Key::text(k.clone()), v.clone())).collect());
    }
    let mut dict = Dict::new();
    for pair in value.expect_items("the argument")? {
        let pair = pair.expect_items("each item")?;
        let [key, value] = <[Value; 2]>::try_from(pair).map_err(|_| Fault::kind("a dict is made of pairs"))?;
        dict.insert(Key::new(key)?, value);
    }
    Ok(dict)
}

struct Namespace(RefCell<IndexMap<Name, Value>>);

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "namespace"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok(self.0.borrow().get(name).cloned())
    }

    fn set_attr(&self, name: &Name, value: Value) -> bool {
        self.0.borrow_mut().insert(name.clone(), value);
        true
    }

    fn display(&self) -> String {
        let dict: Dict = self.0.borrow().iter().map(|(k, v)| (Key::text(k.clone()), v.clone())).collect();
        format!("<Namespace {}>", super::repr(&Value::dict(dict)))
    }
}

struct Cycler {
    items: Vec<Value>,
    at: Cell<usize>,
}

impl Object for Cycler {
    fn type_name(&self) -> &'static str {
        "cycler"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok((name == "current").then(|| self.items[self.at.get()].clone()))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, _: &mut Args) -> Eval<Option<Value>> {
        Ok(match name {
            "next" => {
                let at = self.at.get();
                self.at.set((at + 1) % self.items.len());
                Some(self.items[at].clone())
            }
            "reset" => {
                self.at.set(0);
                Some(Value::None)
            }
            _ => None,
        })
    }

    fn display(&self) -> String {
        "<cycler>".into()
    }
}

struct Joiner {
    separator: Value,
    used: Cell<bool>,
}

impl Object for Joiner {
    fn type_name(&self) -> &'static str {
        "joiner"
    }

    fn call(&self, _: &mut Machine<'_>, _: Args) -> Eval<Value> {
        Ok(if self.used.replace(true) { self.separator.clone() } else { Value::text("") })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn display(&self) -> String {
        "<joiner>".into()
    }
}

/// Mutable sharing of a list between values is by `Rc`; this is Python's `is`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Set(a), Value::Set(b)) => Rc::ptr_eq(a, b),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Bool(_), _) | (_, Value::Bool(_)) => false,
        _ => a == b,
    }
}
