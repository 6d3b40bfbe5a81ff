//! Executes statements. `if` shares the scope around it; `for`, `with`, macros and captured blocks have their own (Jinja
//! documentation, "Assignments").

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{
    arguments::Args,
    ast::*,
    fault::{Eval, Fault},
    machine::{Capture, Machine, Scope},
    value::{Object, Value},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Machine<'_> {
    pub(super) fn body(&mut self, body: &[Stmt]) -> Eval<Flow> {
        for statement in body {
            let flow = self.statement(statement)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Stmt) -> Eval<Flow> {
        match statement {
            Stmt::Raw(span) => {
                self.segment(*span, true);
                let file = self.file.clone();
                self.write(file.text.get(span.range()).unwrap_or_default(), *span)?;
            }
            Stmt::Emit(e) => {
                self.step(e.span)?;
                let value = self.expr(e)?;
                self.emit(&value, e.span)?;
            }
            Stmt::If { condition, then, otherwise } => {
                self.step(condition.span)?;
                let body = if self.expr(condition)?.is_true() { then } else { otherwise };
                // `elif` is an `if` inside the other branch
                return stacker::maybe_grow(256 << 10, 4 << 20, || self.body(body));
            }
            Stmt::For(f) => {
                let value = self.expr(&f.iter)?;
                self.for_loop(f, &value, 0)?;
            }
            Stmt::Set { target, value } => {
                self.step(value.span)?;
                let result = self.expr(value)?;
                self.assign(target, result, value.span)?;
            }
            Stmt::SetBlock { target, filter, body } => {
                let text = self.capture(body)?;
                let value = match filter {
                    Some(filter) => self.filter_chain(filter, text)?,
                    None => text,
                };
                self.assign(target, value, Span::default())?;
            }
            Stmt::FilterBlock { filter, body } => {
                let text = self.capture(body)?;
                let value = self.filter_chain(filter, text)?;
                self.emit(&value, filter.span)?;
            }
            Stmt::With { assignments, body } => {
                let scope = Scope::inner(&self.scope);
                // Jinja evaluates all values before it sets the first
                let mut values = vec![];
                for (target, e) in assignments {
                    values.push((target, self.expr(e)?, e.span));
                }
                let outer = std::mem::replace(&mut self.scope, scope);
                let assigned = values.into_iter().try_for_each(|(t, v, span)| self.assign(t, v, span));
                let result = assigned.and_then(|()| self.body(body));
                self.scope = outer;
                return result;
            }
            Stmt::Macro(def) => {
                let value = self.closure(def, false);
                self.scope.set(&def.name, value);
            }
            Stmt::Call(block) => {
                let ExprKind::Call(callee, args) = &block.call.kind else { return Ok(Flow::Next) };
                let caller = self.closure(&block.caller, true);
                let value = self.call_expr(block.call.span, callee, args, Some(caller))?;
                self.emit(&value, block.call.span)?;
            }
            Stmt::Do(e) => {
                self.step(e.span)?;
                self.expr(e)?;
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// The text of a block with a scope of its own.
    fn capture(&mut self, body: &[Stmt]) -> Eval<Value> {
        let outer = std::mem::replace(&mut self.scope, Scope::root());
        self.scope = Scope::inner(&outer);
        self.captures.push(Capture::default());
        let result = self.body(body);
        let capture = self.captures.pop().unwrap_or_default();
        self.scope = outer;
        result?;
        let text: Arc<str> = capture.text.into();
        if self.with_map {
            self.last_text = Some((text.clone(), capture.segments));
        }
        Ok(Value::Str(text))
    }

    /// `{% filter a | b %}`: the innermost filter has no operand; it gets the text.
    fn filter_chain(&mut self, filter: &Expr, text: Value) -> Eval<Value> {
        let ExprKind::Filter(name, inner, args) = &filter.kind else { return Ok(text) };
        let value = match inner {
            Some(inner) => self.filter_chain(inner, text)?,
            None => text,
        };
        self.apply_filter(name, value, args, filter.span)
    }

    fn assign(&mut self, target: &Target, value: Value, span: Span) -> Eval<()> {
        match target {
            Target::Name(name) => {
                self.scope.set(name, value);
                Ok(())
            }
            Target::Attr(e, name) => {
                let object = self.expr(e)?;
                let done = match &object {
                    Value::Object(o) => o.set_attr(name, value),
                    _ => false,
                };
                if done {
                    return Ok(());
                }
                let fault = Fault::kind(format!("attributes of a value of type `{}` cannot be set", object.type_name()))
                    .help("use `namespace(...)`, or `{% do dict.update({...}) %}`");
                Err(self.locate(fault, e.span, "not a namespace"))
            }
            Target::Unpack(targets, target_span) => {
                let place = if span == Span::default() { *target_span } else { span };
                let Some(items) = value.iterate() else {
                    let fault = Fault::kind(format!("a value of type `{}` cannot be unpacked", value.type_name()));
                    return Err(self.locate(fault, place, ""));
                };
                if items.len() != targets.len() {
                    let fault = Fault::kind(format!("{} names for {} values", targets.len(), items.len()));
                    return Err(self.locate(fault, *target_span, ""));
                }
                targets.iter().zip(items).try_for_each(|(t, v)| self.assign(t, v, span))
            }
        }
    }

    fn for_loop(&mut self, f: &Arc<For>, value: &Value, depth: i64) -> Eval<()> {
        let outer = self.scope.clone();
        let result = self.rounds(f, value, depth, &outer);
        self.scope = outer;
        result
    }

    fn rounds(&mut self, f: &Arc<For>, value: &Value, depth: i64, outer: &Rc<Scope>) -> Eval<()> {
        let Some(mut items) = value.iterate() else {
            let fault = Fault::kind(format!("a value of type `{}` cannot be iterated over", value.type_name()));
            return Err(self.locate(fault, f.iter.span, ""));
        };
        if let Some(filter) = &f.filter {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                self.step(filter.span)?;
                self.scope = Scope::inner(outer);
                self.assign(&f.target, item.clone(), f.iter.span)?;
                if self.expr(filter)?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            self.scope = Scope::inner(outer);
            self.body(&f.otherwise)?;
            return Ok(());
        }
        let items: Rc<[Value]> = items.into();
        let state = Rc::new(Loop {
            index: Cell::new(0),
            items: items.clone(),
            depth,
            changed: RefCell::new(None),
            body: f.clone(),
            scope: outer.clone(),
        });
        let name = Name::from("loop");
        for (i, item) in items.iter().enumerate() {
            self.step(f.iter.span)?;
            state.index.set(i);
            self.scope = Scope::inner(outer);
            self.scope.set(&name, Value::Object(state.clone()));
            self.assign(&f.target, item.clone(), f.iter.span)?;
            if self.body(&f.body)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }
}

/// The `loop` variable.
struct Loop {
    index: Cell<usize>,
    items: Rc<[Value]>,
    depth: i64,
    changed: RefCell<Option<Vec<Value>>>,
    body: Arc<For>,
    scope: Rc<Scope>,
}

impl Object for Loop {
    fn type_name(&self) -> &'static str {
        "loop"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        let (i, n) = (self.index.get(), self.items.len());
        let neighbour = |i: Option<usize>, name: &str| {
            i.and_then(|i| self.items.get(i)).cloned().unwrap_or_else(|| Value::Undefined(format!("loop.{name}").into()))
        };
        Ok(Some(match name {
            "index" => Value::Int(i as i64 + 1),
            "index0" => Value::Int(i as i64),
            "revindex" => Value::Int((n - i) as i64),
            "revindex0" => Value::Int((n - i) as i64 - 1),
            "first" => Value::Bool(i == 0),
            "last" => Value::Bool(i + 1 == n),
            "length" => Value::Int(n as i64),
            "depth" => Value::Int(self.depth + 1),
            "depth0" => Value::Int(self.depth),
            "previtem" => neighbour(i.checked_sub(1), name),
            "nextitem" => neighbour(Some(i + 1), name),
            _ => return Ok(None),
        }))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        match name {
            "cycle" if args.positional.is_empty() => Err(Fault::kind("`loop.cycle` needs at least one value")),
            "cycle" => Ok(Some(args.positional[self.index.get() % args.positional.len()].clone())),
            "changed" => {
                let now = std::mem::take(&mut args.positional);
                let mut last = self.changed.borrow_mut();
                let changed = last.as_ref() != Some(&now);
                *last = Some(now);
                Ok(Some(Value::Bool(changed)))
            }
            _ => Ok(None),
        }
    }

    /// `loop(children)` in a recursive loop.
    fn call(&self, machine: &mut Machine<'_>, mut args: Args) -> Eval<Value> {
        if !self.body.recursive {
            return Err(Fault::kind("`loop` can be called only in a loop marked `recursive`"));
        }
        if self.depth >= 150 {
            return Err(Fault::new("template/recursion", "a recursive loop is more than 150 deep"));
        }
        let items = args.single("loop", "iterable")?;
        let outer = std::mem::replace(&mut machine.scope, self.scope.clone());
        machine.captures.push(Capture::default());
        let result = stacker::maybe_grow(256 << 10, 4 << 20, || machine.for_loop(&self.body, &items, self.depth + 1));
        let capture = machine.captures.pop().unwrap_or_default();
        machine.scope = outer;
        result?;
        let text: Arc<str> = capture.text.into();
        if machine.with_map {
            machine.last_text = Some((text.clone(), capture.segments));
        }
        Ok(Value::Str(text))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn display(&self) -> String {
        format!("<loop {}/{}>", self.index.get() + 1, self.items.len())
    }
}
