//! Values as Python has them: lists, dicts and sets are shared and mutable, everything else is immutable.
//!
//! Values live on one thread during one evaluation; what must outlive it is text or JSON.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    hash::{Hash, Hasher},
    rc::Rc,
    sync::Arc,
};

use indexmap::{Equivalent, IndexMap, IndexSet};
use serde_json::Value as Json;

use super::{
    arguments::Args,
    ast::{MacroDef, Name},
    fault::{Eval, Fault},
    machine::{Machine, Scope},
};

#[derive(Clone)]
pub enum Value {
    /// What a missing name or attribute gives; the text says which, for messages.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    List(Rc<RefCell<Vec<Value>>>),
    Tuple(Rc<[Value]>),
    Dict(Rc<RefCell<Dict>>),
    Set(Rc<RefCell<IndexSet<Key>>>),
    Macro(Rc<Closure>),
    /// A function of the language or of the host.
    Function(&'static str),
    /// A namespace of host functions: `adapter`, `exceptions`.
    Module(&'static str),
    /// `value.name` before it is called.
    Method(Rc<(Value, Name)>),
    Object(Rc<dyn Object>),
}

pub type Dict = IndexMap<Key, Value>;

/// A macro and the variables around its definition (macros of files see none).
pub struct Closure {
    pub def: Arc<MacroDef>,
    pub scope: Option<Rc<Scope>>,
    /// The body of a `{% call %}` block: `return()` inside it leaves the macro around it.
    pub is_caller: bool,
    /// The call chain at the place of definition, for the source map of `caller()`.
    pub call: u32,
}

/// Everything else: loops, relations, dates, results.
pub trait Object: Any {
    /// Python's name of the type, for messages.
    fn type_name(&self) -> &'static str;

    fn get_attr(&self, _machine: &mut Machine<'_>, _name: &str) -> Eval<Option<Value>> {
        Ok(None)
    }

    fn set_attr(&self, _name: &Name, _value: Value) -> bool {
        false
    }

    fn get_item(&self, _machine: &mut Machine<'_>, _key: &Value) -> Eval<Option<Value>> {
        Ok(None)
    }

    fn call(&self, _machine: &mut Machine<'_>, _args: Args) -> Eval<Value> {
        Err(Fault::new("template/type", format!("a value of type `{}` cannot be called", self.type_name())))
    }

    /// `None` when there is no such method: the attribute of that name is called then.
    fn call_method(&self, _machine: &mut Machine<'_>, _name: &str, _args: &mut Args) -> Eval<Option<Value>> {
        Ok(None)
    }

    fn items(&self) -> Option<Vec<Value>> {
        None
    }

    fn display(&self) -> String;

    fn repr(&self) -> String {
        self.display()
    }

    fn is_true(&self) -> bool {
        true
    }

    fn is_callable(&self) -> bool {
        false
    }

    fn is_mapping(&self) -> bool {
        false
    }

    fn equals(&self, _other: &dyn Object) -> bool {
        false
    }

    fn compare(&self, _other: &dyn Object) -> Option<std::cmp::Ordering> {
        None
    }

    /// `self <operator> other`, or with the sides exchanged.
    fn arithmetic(&self, _operator: super::ast::Operator, _other: &Value, _swapped: bool) -> Option<Eval<Value>> {
        None
    }

    fn to_json(&self) -> Json {
        Json::String(self.display())
    }
}

impl dyn Object {
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A value that can be looked up: `1`, `1.0` and `True` are one key, as in Python.
#[derive(Clone)]
pub struct Key(Value);

impl Key {
    pub fn new(value: Value) -> Eval<Self> {
        if is_hashable(&value) {
            Ok(Self(value))
        } else {
            Err(Fault::new("template/type", format!("a value of type `{}` cannot be a key", value.type_name())))
        }
    }

    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self(Value::Str(text.into()))
    }

    pub fn value(&self) -> &Value {
        &self.0
    }
}

fn is_hashable(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Set(_) => false,
        Value::Tuple(items) => items.iter().all(is_hashable),
        _ => true,
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_value(&self.0, state);
    }
}

fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Str(s) => str::hash(s, state),
        Value::Bool(b) => i64::from(*b).hash(state),
        Value::Int(i) => i.hash(state),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e18 => (*f as i64).hash(state),
        Value::Float(f) => f.to_bits().hash(state),
        Value::Tuple(items) => items.iter().for_each(|i| hash_value(i, state)),
        Value::Object(o) => o.display().hash(state),
        other => other.type_name().hash(state),
    }
}

/// Looks a text up without making a [`Key`].
pub(super) struct Text<'a>(pub &'a str);

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self.0, state);
    }
}

impl Equivalent<Key> for Text<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(&key.0, Value::Str(s) if **s == *self.0)
    }
}

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(RefCell::new(items)))
    }

    pub fn tuple(items: Vec<Value>) -> Self {
        Self::Tuple(items.into())
    }

    pub fn dict(dict: Dict) -> Self {
        Self::Dict(Rc::new(RefCell::new(dict)))
    }

    pub fn set(items: IndexSet<Key>) -> Self {
        Self::Set(Rc::new(RefCell::new(items)))
    }

    pub fn object(object: impl Object) -> Self {
        Self::Object(Rc::new(object))
    }

    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::None,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Self::Float(n.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Json::String(s) => Self::text(s.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::dict(map.iter().map(|(k, v)| (Key::text(k.as_str()), Self::from_json(v))).collect()),
        }
    }

    /// Objects become their text, undefined becomes null, keys become text. Depth beyond any real document is cut to null:
    /// a list may contain itself.
    pub fn to_json(&self) -> Json {
        self.to_json_within(100)
    }

    fn to_json_within(&self, depth: usize) -> Json {
        let Some(deeper) = depth.checked_sub(1) else { return Json::Null };
        match self {
            Self::Undefined(_) | Self::None => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(i) => Json::from(*i),
            Self::Float(f) => serde_json::Number::from_f64(*f).map_or(Json::Null, Json::Number),
            Self::Str(s) => Json::String(s.to_string()),
            Self::List(items) => items.borrow().iter().map(|v| v.to_json_within(deeper)).collect(),
            Self::Tuple(items) => items.iter().map(|v| v.to_json_within(deeper)).collect(),
            Self::Set(items) => items.borrow().iter().map(|k| k.0.to_json_within(deeper)).collect(),
            Self::Dict(dict) => dict
                .borrow()
                .iter()
                .map(|(k, v)| (super::display(&k.0), v.to_json_within(deeper)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Self::Object(o) => o.to_json(),
            other => Json::String(super::display(other)),
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Set(_) => "set",
            Self::Macro(_) => "macro",
            Self::Function(_) => "function",
            Self::Module(_) => "module",
            Self::Method(_) => "method",
            Self::Object(o) => o.type_name(),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::List(items) => !items.borrow().is_empty(),
            Self::Tuple(items) => !items.is_empty(),
            Self::Dict(dict) => !dict.borrow().is_empty(),
            Self::Set(items) => !items.borrow().is_empty(),
            Self::Macro(_) | Self::Function(_) | Self::Module(_) | Self::Method(_) => true,
            Self::Object(o) => o.is_true(),
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub fn is_callable(&self) -> bool {
        match self {
            Self::Macro(_) | Self::Function(_) | Self::Method(_) => true,
            Self::Object(o) => o.is_callable(),
            _ => false,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn downcast<T: Object>(&self) -> Option<&T> {
        match self {
            Self::Object(o) => (**o).downcast(),
            _ => None,
        }
    }

    /// `value[text]` of a dict.
    pub fn get(&self, key: &str) -> Option<Value> {
        match self {
            Self::Dict(dict) => dict.borrow().get(&Text(key)).cloned(),
            _ => None,
        }
    }

    /// What a `for` loop sees; `None` when the value cannot be iterated over.
    pub fn iterate(&self) -> Option<Vec<Value>> {
        Some(match self {
            // iterating over an undefined value is empty in Jinja
            Self::Undefined(_) => vec![],
            Self::Str(s) => s.chars().map(|c| Self::text(c.to_string())).collect(),
            Self::List(items) => items.borrow().clone(),
            Self::Tuple(items) => items.to_vec(),
            Self::Dict(dict) => dict.borrow().keys().map(|k| k.0.clone()).collect(),
            Self::Set(items) => items.borrow().iter().map(|k| k.0.clone()).collect(),
            Self::Object(o) => return o.items(),
            _ => return None,
        })
    }

    pub fn length(&self) -> Option<usize> {
        Some(match self {
            Self::Undefined(_) => 0,
            Self::Str(s) => s.chars().count(),
            Self::List(items) => items.borrow().len(),
            Self::Tuple(items) => items.len(),
            Self::Dict(dict) => dict.borrow().len(),
            Self::Set(items) => items.borrow().len(),
            Self::Object(o) => return o.items().map(|i| i.len()),
            _ => return None,
        })
    }
}

/// How deep structures are compared and printed; a list may contain itself.
pub(super) const MAX_NESTING: usize = 200;

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        equal(self, other, MAX_NESTING)
    }
}

fn equal(a: &Value, b: &Value, depth: usize) -> bool {
    let Some(deeper) = depth.checked_sub(1) else { return false };
    let all = |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, deeper));
    match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bool(_) | Value::Int(_) | Value::Float(_), Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            super::number::compare(a, b) == Some(std::cmp::Ordering::Equal)
        }
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b) || all(&a.borrow(), &b.borrow()),
        (Value::Tuple(a), Value::Tuple(b)) => all(a, b),
        (Value::Dict(a), Value::Dict(b)) => {
            Rc::ptr_eq(a, b) || {
                let (a, b) = (a.borrow(), b.borrow());
                a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w, deeper)))
            }
        }
        (Value::Set(a), Value::Set(b)) => Rc::ptr_eq(a, b) || *a.borrow() == *b.borrow(),
        (Value::Function(a), Value::Function(b)) | (Value::Module(a), Value::Module(b)) => a == b,
        (Value::Macro(a), Value::Macro(b)) => Arc::ptr_eq(&a.def, &b.def),
        (Value::Method(a), Value::Method(b)) => Rc::ptr_eq(a, b),
        (Value::Object(a), Value::Object(b)) => std::ptr::addr_eq(Rc::as_ptr(a), Rc::as_ptr(b)) || a.equals(&**b),
        _ => false,
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::repr(self))
    }
}
