//! Evaluates expressions and calls; statements are in `statements`.
//!
//! A [`Machine`] lives for one evaluation. It never panics on any template: depth, steps and output are bounded, and the stack
//! grows on the heap where expressions nest.

use std::{cell::RefCell, ops::Range, rc::Rc, sync::Arc};

use super::{
    arguments::Args,
    ast::*,
    display,
    fault::{Eval, Fault},
    filters, functions, methods, operators, predicates,
    value::{Dict, Key, Value},
};
use crate::{
    diagnostic::{Place, SourceFile},
    names::nearest,
    template::source_map::{Call, CallIndex, NO_CALL, Segment},
};

/// What the language asks its surroundings for.
pub trait Host {
    /// A name that no variable has. `package` is that of the macro being evaluated.
    fn global(&self, machine: &mut Machine<'_>, name: &str, package: Option<&str>) -> Eval<Option<Value>>;

    /// For "did you mean".
    fn known_names(&self) -> Vec<String>;

    fn call_function(&self, machine: &mut Machine<'_>, name: &'static str, args: Args) -> Eval<Value>;

    /// `None` when the module has no such attribute.
    fn module_attribute(&self, machine: &mut Machine<'_>, module: &'static str, name: &str) -> Eval<Option<Value>>;

    /// `None` when the module has no such function.
    fn call_module(&self, machine: &mut Machine<'_>, module: &'static str, name: &str, args: &mut Args) -> Eval<Option<Value>>;

    /// `None` when there is no such filter.
    fn filter(&self, machine: &mut Machine<'_>, name: &str, value: &Value, args: &mut Args) -> Option<Eval<Value>>;

    fn macro_called(&self, def: &MacroDef);
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Statements, loop rounds and calls.
    pub steps: u64,
    /// Macro calls inside each other.
    pub depth: usize,
    /// Bytes of text produced, those of intermediate texts included.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 50_000_000, depth: 200, output: 64 << 20 }
    }
}

/// Variables of a block, and those around it.
pub struct Scope {
    pub(super) variables: RefCell<Vec<(Name, Value)>>,
    pub(super) parent: Option<Rc<Scope>>,
    /// The macro invocation that `return()` leaves; 0 outside macros.
    pub(super) invocation: u32,
}

impl Scope {
    pub fn root() -> Rc<Self> {
        Rc::new(Self { variables: RefCell::default(), parent: None, invocation: 0 })
    }

    pub(super) fn inner(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { variables: RefCell::default(), parent: Some(parent.clone()), invocation: parent.invocation })
    }

    pub fn set(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => variables.push((name.clone(), value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let mut scope = self;
        loop {
            if let Some((_, value)) = scope.variables.borrow().iter().find(|(n, _)| **n == *name) {
                return Some(value.clone());
            }
            scope = scope.parent.as_deref()?;
        }
    }
}

/// A text being written.
#[derive(Default)]
pub(super) struct Capture {
    pub text: String,
    pub segments: Vec<Segment>,
}

pub(super) const RED_ZONE: usize = 256 << 10;
pub(super) const STACK: usize = 4 << 20;

pub struct Machine<'h> {
    pub host: &'h dyn Host,
    pub(super) file: Arc<SourceFile>,
    pub(super) package: Option<Name>,
    pub(super) scope: Rc<Scope>,
    pub(super) captures: Vec<Capture>,
    pub(super) calls: Vec<Call>,
    pub(super) call: CallIndex,
    pub(super) depth: usize,
    pub(super) invocations: u32,
    steps: u64,
    written: usize,
    pub(super) limits: Limits,
    /// The segments of the text that a macro printed last: `{{ m() }}` emits that very text, and then they are its map.
    pub(super) last_text: Option<(Arc<str>, Vec<Segment>)>,
    pub(super) with_map: bool,
    /// Scopes that macros were defined in: emptied at the end, because scope and macro own each other.
    pub(super) closed_over: Vec<Rc<Scope>>,
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        for scope in self.closed_over.drain(..) {
            scope.variables.borrow_mut().clear();
        }
    }
}

impl<'h> Machine<'h> {
    pub fn new(host: &'h dyn Host, file: &Arc<SourceFile>, limits: Limits, with_map: bool) -> Self {
        Self {
            host,
            file: file.clone(),
            package: None,
            scope: Scope::root(),
            captures: vec![Capture::default()],
            calls: vec![],
            call: NO_CALL,
            depth: 0,
            invocations: 0,
            steps: 0,
            written: 0,
            limits,
            last_text: None,
            with_map,
            closed_over: vec![],
        }
    }

    /// Runs a text; its output is added to what was written before.
    pub fn run(&mut self, body: &[Stmt]) -> Eval<()> {
        self.body(body).map(|_| ())
    }

    /// The text written and its map.
    pub(in crate::template) fn finish(mut self) -> (String, Vec<Segment>, Vec<Call>) {
        let capture = self.captures.pop().unwrap_or_default();
        (capture.text, capture.segments, std::mem::take(&mut self.calls))
    }

    pub fn scope(&self) -> &Rc<Scope> {
        &self.scope
    }

    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// The place of an expression in the file being evaluated.
    pub fn place(&self, span: Span) -> Place {
        Place::new(&self.file, span.range())
    }

    /// Adds to an error where it happened and who called.
    pub(super) fn locate(&self, fault: Fault, span: Span, label: &str) -> Fault {
        match fault {
            Fault::Error(mut d) if d.place.is_none() => {
                d.place = Some(self.place(span));
                d.label = label.to_owned();
                d.related.extend(self.call_stack());
                Fault::Error(d)
            }
            other => other,
        }
    }

    /// The macro calls around the current place, innermost first.
    pub fn call_stack(&self) -> Vec<(Place, String)> {
        let mut stack = vec![];
        let mut index = self.call;
        while let Some(call) = self.calls.get(index as usize) {
            // a loop of macros shows its beginning and its end, not two hundred equal lines
            stack.push((
                Place::new(&call.file, call.range.start as usize..call.range.end as usize),
                format!("`{}` is called here", call.name),
            ));
            index = call.parent;
        }
        const SHOWN: usize = 5;
        if stack.len() > 2 * SHOWN {
            stack.drain(SHOWN..stack.len() - SHOWN);
        }
        stack
    }

    pub(super) fn step(&mut self, span: Span) -> Eval<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            let message = format!("the template takes more than {} steps", self.limits.steps);
            return Err(self.locate(Fault::new("template/limit", message), span, "stopped here"));
        }
        Ok(())
    }

    /// Steps of a native function that works through many items.
    pub fn charge(&mut self, steps: usize) -> Eval<()> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > self.limits.steps {
            return Err(Fault::new("template/limit", format!("the template takes more than {} steps", self.limits.steps)));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, text: &str, span: Span) -> Eval<()> {
        self.written += text.len();
        if self.written > self.limits.output {
            let message = format!("the template writes more than {} MiB", self.limits.output >> 20);
            return Err(self.locate(Fault::new("template/limit", message), span, "stopped here"));
        }
        if let Some(capture) = self.captures.last_mut() {
            capture.text.push_str(text);
        }
        Ok(())
    }

    pub(super) fn segment(&mut self, span: Span, raw: bool) {
        if !self.with_map {
            return;
        }
        let (file, call) = (self.file.clone(), self.call);
        if let Some(capture) = self.captures.last_mut() {
            let range = Range { start: span.start, end: span.end };
            capture.segments.push(Segment { out: capture.text.len(), file, range, raw, call });
        }
    }

    /// `{{ value }}`
    pub(super) fn emit(&mut self, value: &Value, span: Span) -> Eval<()> {
        if let Value::Str(text) = value {
            if text.is_empty() {
                return Ok(());
            }
            match self.last_text.take() {
                Some((last, segments)) if Arc::ptr_eq(&last, text) && self.with_map => {
                    if let Some(capture) = self.captures.last_mut() {
                        let at = capture.text.len();
                        capture.segments.extend(segments.into_iter().map(|s| Segment { out: s.out + at, ..s }));
                    }
                }
                _ => self.segment(span, false),
            }
            return self.write(text, span);
        }
        let text = display(value);
        self.segment(span, false);
        self.write(&text, span)
    }

    pub fn expr(&mut self, e: &Expr) -> Eval<Value> {
        match &e.kind {
            ExprKind::Const(c) => Ok(constant(c)),
            ExprKind::Var(name) => self.variable(name).map_err(|f| self.locate(f, e.span, "")),
            _ => stacker::maybe_grow(RED_ZONE, STACK, || self.compound(e)),
        }
    }

    fn compound(&mut self, e: &Expr) -> Eval<Value> {
        match &e.kind {
            ExprKind::Const(c) => Ok(constant(c)),
            ExprKind::Var(name) => self.variable(name).map_err(|f| self.locate(f, e.span, "")),
            ExprKind::List(items) => Ok(Value::list(self.exprs(items)?)),
            ExprKind::Tuple(items) => Ok(Value::tuple(self.exprs(items)?)),
            ExprKind::Dict(pairs) => {
                let mut dict = Dict::with_capacity(pairs.len());
                for (k, v) in pairs {
                    let key = Key::new(self.expr(k)?).map_err(|f| self.locate(f, k.span, "not a key"))?;
                    dict.insert(key, self.expr(v)?);
                }
                Ok(Value::dict(dict))
            }
            ExprKind::Attr(value, name) => {
                let target = self.expr(value)?;
                let found = self.attribute(&target, name).map_err(|f| self.locate(f, value.span, ""))?;
                Ok(self.described(found, e.span))
            }
            ExprKind::Item(value, key) => {
                let target = self.expr(value)?;
                let key = self.expr(key)?;
                let found = operators::item(self, &target, &key).map_err(|f| self.locate(f, value.span, ""))?;
                Ok(self.described(found, e.span))
            }
            ExprKind::Slice(s) => {
                let value = self.expr(&s.value)?;
                let mut part = |e: &Option<Expr>| e.as_ref().map(|e| self.expr(e)).transpose();
                let (start, stop, step) = (part(&s.start)?, part(&s.stop)?, part(&s.step)?);
                operators::slice(&value, start.as_ref(), stop.as_ref(), step.as_ref()).map_err(|f| self.locate(f, e.span, ""))
            }
            ExprKind::Call(callee, args) => self.call_expr(e.span, callee, args, None),
            ExprKind::Filter(name, value, args) => {
                let value = match value {
                    Some(value) => self.expr(value)?,
                    None => Value::text(""),
                };
                self.apply_filter(name, value, args, e.span)
            }
            ExprKind::Test(name, value, args) => {
                let target = self.expr(value)?;
                let mut args = self.arguments(args, e.span)?;
                predicates::check(self, name, &target, &mut args).map(Value::Bool).map_err(|f| self.locate(f, e.span, ""))
            }
            ExprKind::Not(value) => Ok(Value::Bool(!self.expr(value)?.is_true())),
            ExprKind::Negate(value) => {
                let value = self.expr(value)?;
                match value {
                    Value::Float(f) => Ok(Value::Float(-f)),
                    other => operators::binary(Operator::Multiply, &other, &Value::Int(-1))
                        .ok()
                        .filter(|v| matches!(v, Value::Int(_) | Value::Object(_)))
                        .ok_or_else(|| Fault::kind(format!("a value of type `{}` cannot be negated", other.type_name())))
                        .map_err(|f| self.locate(f, e.span, "")),
                }
            }
            ExprKind::And(a, b) => {
                let left = self.expr(a)?;
                if left.is_true() { self.expr(b) } else { Ok(left) }
            }
            ExprKind::Or(a, b) => {
                let left = self.expr(a)?;
                if left.is_true() { Ok(left) } else { self.expr(b) }
            }
            ExprKind::Binary(operator, a, b) => {
                let (left, right) = (self.expr(a)?, self.expr(b)?);
                let result = operators::binary(*operator, &left, &right).map_err(|f| self.locate(f, e.span, ""))?;
                if let Value::Str(s) = &result {
                    self.charge(s.len() / 64).map_err(|f| self.locate(f, e.span, ""))?;
                }
                Ok(result)
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.expr(first)?;
                for (comparison, operand) in rest {
                    let right = self.expr(operand)?;
                    if !operators::compare(*comparison, &left, &right).map_err(|f| self.locate(f, e.span, ""))? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            ExprKind::If { condition, then, otherwise } => {
                if self.expr(condition)?.is_true() {
                    return self.expr(then);
                }
                match otherwise {
                    Some(e) => self.expr(e),
                    None => Ok(Value::Undefined("inline if without else".into())),
                }
            }
        }
    }

    pub(super) fn apply_filter(&mut self, name: &Name, value: Value, args: &[Arg], span: Span) -> Eval<Value> {
        let mut args = self.arguments(args, span)?;
        filters::apply(self, name, &value, &mut args).map_err(|f| self.locate(f, span, ""))
    }

    fn exprs(&mut self, items: &[Expr]) -> Eval<Vec<Value>> {
        items.iter().map(|e| self.expr(e)).collect()
    }

    /// Names an undefined value after its text in the template.
    fn described(&self, value: Value, span: Span) -> Value {
        match value {
            Value::Undefined(_) => Value::Undefined(self.file.text.get(span.range()).unwrap_or("value").into()),
            other => other,
        }
    }

    pub fn variable(&mut self, name: &str) -> Eval<Value> {
        if let Some(value) = self.scope.get(name) {
            return Ok(value);
        }
        let package = self.package.clone();
        if let Some(value) = self.host.global(self, name, package.as_deref())? {
            return Ok(value);
        }
        if let Some(function) = functions::find(name) {
            return Ok(Value::Function(function));
        }
        Ok(Value::Undefined(name.into()))
    }

    pub fn attribute(&mut self, value: &Value, name: &str) -> Eval<Value> {
        let found = match value {
            Value::Undefined(what) => return Err(undefined(what)),
            Value::Dict(_) if !methods::exists(value, name) => value.get(name),
            Value::Object(o) => {
                let o = o.clone();
                o.get_attr(self, name)?
            }
            Value::Module(module) => self.host.module_attribute(self, module, name)?,
            Value::Macro(m) if name == "name" => Some(Value::Str(m.def.name.clone())),
            _ if methods::exists(value, name) => Some(Value::Method(Rc::new((value.clone(), name.into())))),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| Value::Undefined(format!("{}.{name}", value.type_name()).into())))
    }

    /// A `caller` is given to the callee of a `{% call %}` block.
    pub(super) fn call_expr(&mut self, span: Span, callee: &Expr, args: &[Arg], caller: Option<Value>) -> Eval<Value> {
        self.step(span)?;
        if let ExprKind::Attr(object, name) = &callee.kind {
            let target = self.expr(object)?;
            let mut args = self.arguments(args, span)?;
            args.keyword.extend(caller.map(|c| (Name::from("caller"), c)));
            return self.call_method(&target, name, args).map_err(|f| self.locate(f, callee.span, ""));
        }
        let function = self.expr(callee)?;
        let mut args = self.arguments(args, span)?;
        args.keyword.extend(caller.map(|c| (Name::from("caller"), c)));
        let is_undefined = function.is_undefined();
        self.call(&function, args).map_err(|f| self.locate(f, if is_undefined { callee.span } else { span }, ""))
    }

    pub fn call_method(&mut self, target: &Value, name: &str, mut args: Args) -> Eval<Value> {
        match target {
            Value::Object(o) => {
                let o = o.clone();
                if let Some(result) = o.call_method(self, name, &mut args)? {
                    return Ok(result);
                }
            }
            Value::Module(module) => {
                let host = self.host;
                if let Some(result) = host.call_module(self, module, name, &mut args)? {
                    return Ok(result);
                }
            }
            Value::Undefined(what) => return Err(undefined(what)),
            other if methods::exists(other, name) => return methods::call(self, other, name, args),
            _ => {}
        }
        let function = self.attribute(target, name)?;
        if function.is_undefined() {
            let what = match target {
                Value::Module(module) => format!("`{module}`"),
                other => format!("a value of type `{}`", other.type_name()),
            };
            let fault = Fault::new("template/undefined", format!("{what} has no method `{name}`"));
            return Err(match nearest(name, methods::names(target).iter().copied()) {
                Some(known) => fault.help(format!("there is `{known}`")),
                None => fault,
            });
        }
        self.call(&function, args)
    }

    pub fn call(&mut self, function: &Value, args: Args) -> Eval<Value> {
        match function {
            Value::Macro(closure) => self.call_macro(closure, args),
            Value::Function("return") => {
                let mut args = args;
                let [value] = args.bind("return", ["data"])?;
                if self.scope.invocation == 0 {
                    return Err(Fault::kind("`return` works in macros only"));
                }
                Err(Fault::Return { invocation: self.scope.invocation, value: value.unwrap_or(Value::None) })
            }
            Value::Function(name) if functions::find(name).is_some() => functions::call(self, name, args),
            Value::Function(name) | Value::Module(name) => {
                let host = self.host;
                host.call_function(self, name, args)
            }
            Value::Method(method) => self.call_method(&method.0, &method.1, args),
            Value::Object(o) => {
                let o = o.clone();
                o.call(self, args)
            }
            Value::Undefined(name) => Err(self.unknown(name)),
            other => Err(Fault::kind(format!("a value of type `{}` cannot be called", other.type_name()))),
        }
    }

    /// A call from outside a template; its place is `args.span`.
    pub fn call_located(&mut self, function: &Value, args: Args) -> Eval<Value> {
        let span = args.span;
        self.call(function, args).map_err(|f| self.locate(f, span, ""))
    }

    fn unknown(&self, name: &str) -> Fault {
        let mut fault = undefined(name);
        if !name.contains(['.', '[']) {
            let known = self.host.known_names();
            if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
                fault = fault.help(format!("there is `{near}`"));
            }
        }
        fault
    }

    pub(super) fn arguments(&mut self, args: &[Arg], span: Span) -> Eval<Args> {
        let mut out = Args { span, ..Args::default() };
        out.positional.reserve(args.len());
        for arg in args {
            match arg {
                Arg::Positional(e) => {
                    out.positional.push(self.expr(e)?);
                    out.spans.push(e.span);
                }
                Arg::Keyword(name, e) => {
                    let value = self.expr(e)?;
                    out.keyword.push((name.clone(), value));
                }
                Arg::Splat(e) => {
                    let value = self.expr(e)?;
                    let items = value.iterate().ok_or_else(|| Fault::kind(format!("`*` needs a list, not `{}`", value.type_name())));
                    out.positional.extend(items.map_err(|f| self.locate(f, e.span, ""))?);
                }
                Arg::KeywordSplat(e) => match self.expr(e)? {
                    Value::Dict(dict) => {
                        for (k, v) in dict.borrow().iter() {
                            out.keyword.push((display(k.value()).into(), v.clone()));
                        }
                    }
                    Value::Undefined(_) | Value::None => {}
                    other => {
                        let fault = Fault::kind(format!("`**` needs a dict, not `{}`", other.type_name()));
                        return Err(self.locate(fault, e.span, ""));
                    }
                },
            }
        }
        Ok(out)
    }
}

pub(super) fn undefined(name: &str) -> Fault {
    Fault::new("template/undefined", format!("`{name}` is undefined"))
}

fn constant(c: &Const) -> Value {
    match c {
        Const::None => Value::None,
        Const::Bool(b) => Value::Bool(*b),
        Const::Int(i) => Value::Int(*i),
        Const::Float(f) => Value::Float(*f),
        Const::Str(s) => Value::Str(s.clone()),
    }
}
