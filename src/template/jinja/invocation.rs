//! Calls of macros: parameters, scope, what the macro writes, `return()`.

use std::{cell::RefCell, ops::Range, rc::Rc, sync::Arc};

use super::{
    arguments::Args,
    ast::*,
    fault::{Eval, Fault},
    machine::{Capture, Machine, RED_ZONE, STACK, Scope},
    value::{Closure, Key, Value},
};
use crate::{
    names::nearest,
    template::source_map::{Call, CallIndex, NO_CALL},
};

impl Machine<'_> {
    pub fn call_macro(&mut self, closure: &Rc<Closure>, args: Args) -> Eval<Value> {
        if self.depth >= self.limits.depth {
            let message = format!("macros call each other more than {} deep", self.limits.depth);
            let fault = Fault::new("template/recursion", message).help("a macro that calls itself needs a condition that ends it");
            return Err(self.locate(fault, args.span, "one call too deep"));
        }
        self.depth += 1;
        let result = stacker::maybe_grow(RED_ZONE, STACK, || self.invoke(closure, args));
        self.depth -= 1;
        result
    }

    fn invoke(&mut self, closure: &Rc<Closure>, mut args: Args) -> Eval<Value> {
        let def = closure.def.clone();
        if !closure.is_caller {
            self.host.macro_called(&def);
            self.invocations += 1;
        }
        let scope = match &closure.scope {
            Some(scope) if closure.is_caller => Scope::inner(scope),
            Some(scope) => Rc::new(Scope { variables: RefCell::default(), parent: Some(scope.clone()), invocation: self.invocations }),
            None => Rc::new(Scope { variables: RefCell::default(), parent: None, invocation: self.invocations }),
        };
        let invocation = scope.invocation;
        let caller = args.take_keyword("caller");
        let call_file = self.file.clone();
        if !closure.is_caller {
            let range = Range { start: args.span.start, end: args.span.end };
            self.calls.push(Call { parent: self.call, file: call_file.clone(), range, name: def.name.clone() });
        }
        let call = if closure.is_caller { closure.call } else { self.calls.len() as CallIndex - 1 };
        let surplus = bind_params(&def, &scope, args, caller)?;
        let outer = (
            std::mem::replace(&mut self.scope, scope),
            std::mem::replace(&mut self.file, def.file.clone()),
            std::mem::replace(&mut self.call, call),
            self.package.replace(def.package.clone()),
        );
        self.captures.push(Capture::default());
        let result = self.defaults(&def, surplus).and_then(|()| self.body(&def.body));
        let capture = self.captures.pop().unwrap_or_default();
        (self.scope, self.file, self.call, self.package) = outer;
        match result {
            Ok(_) => {
                let text: Arc<str> = capture.text.into();
                if self.with_map {
                    self.last_text = Some((text.clone(), capture.segments));
                }
                Ok(Value::Str(text))
            }
            Err(Fault::Return { invocation: to, value }) if to == invocation && !closure.is_caller => Ok(value),
            Err(fault) => Err(fault),
        }
    }

    /// Parameters that got no value; their defaults may name the parameters before them.
    fn defaults(&mut self, def: &MacroDef, missing: Vec<usize>) -> Eval<()> {
        for i in missing {
            let Some((name, default)) = def.params.get(i) else { continue };
            let value = match default {
                Some(e) => self.expr(e)?,
                None => Value::Undefined(name.clone()),
            };
            self.scope.set(name, value);
        }
        Ok(())
    }

    pub(super) fn closure(&mut self, def: &Arc<MacroDef>, is_caller: bool) -> Value {
        let scope = self.scope.clone();
        if !is_caller {
            self.closed_over.push(scope.clone());
        }
        Value::Macro(Rc::new(Closure { def: def.clone(), scope: Some(scope), is_caller, call: self.call }))
    }
}

/// A macro of a file: it sees no variables but its own.
pub fn file_macro(def: &Arc<MacroDef>) -> Value {
    Value::Macro(Rc::new(Closure { def: def.clone(), scope: None, is_caller: false, call: NO_CALL }))
}

/// Sets what was given; returns the indices of parameters without a value.
fn bind_params(def: &MacroDef, scope: &Scope, args: Args, caller: Option<Value>) -> Eval<Vec<usize>> {
    let mut positional = args.positional.into_iter();
    let mut keyword = args.keyword;
    let mut missing = vec![];
    for (i, (name, _)) in def.params.iter().enumerate() {
        let named = keyword.iter().position(|(n, _)| n == name).map(|k| keyword.remove(k).1);
        match (positional.next(), named) {
            (Some(_), Some(_)) => return Err(Fault::kind(format!("macro `{}` got `{name}` twice", def.name))),
            (Some(value), None) | (None, Some(value)) => scope.set(name, value),
            (None, None) => missing.push(i),
        }
    }
    let varargs: Vec<Value> = positional.collect();
    if !varargs.is_empty() && !def.takes_varargs {
        let (takes, given) = (def.params.len(), def.params.len() + varargs.len());
        let plural = if takes == 1 { "" } else { "s" };
        return Err(Fault::kind(format!("macro `{}` takes {takes} argument{plural}, {given} were given", def.name)));
    }
    if !def.takes_kwargs
        && let Some((name, _)) = keyword.first()
    {
        let fault = Fault::kind(format!("macro `{}` has no argument `{name}`", def.name));
        return Err(match nearest(name, def.params.iter().map(|(n, _)| &**n)) {
            Some(known) => fault.help(format!("there is `{known}`")),
            None => fault,
        });
    }
    if def.takes_varargs {
        scope.set(&"varargs".into(), Value::tuple(varargs));
    }
    if def.takes_kwargs {
        scope.set(&"kwargs".into(), Value::dict(keyword.into_iter().map(|(n, v)| (Key::text(n), v)).collect()));
    }
    if let Some(caller) = caller {
        scope.set(&"caller".into(), caller);
    }
    Ok(missing)
}
