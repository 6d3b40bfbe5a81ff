//! Arguments of a call, and their binding to the parameters of a function written in Rust.

use super::{
    ast::{Name, Span},
    fault::{Eval, Fault},
    value::Value,
};

#[derive(Clone, Debug, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub keyword: Vec<(Name, Value)>,
    /// The call's place in the file that is evaluated.
    pub span: Span,
    /// The places of the positional arguments, where they are known.
    pub spans: Vec<Span>,
}

impl Args {
    pub fn of(positional: Vec<Value>) -> Self {
        Self { positional, ..Self::default() }
    }

    /// Parameters in order; missing ones are `None`. Too many, unknown and repeated arguments are errors.
    pub fn bind<const N: usize>(&mut self, function: &str, params: [&str; N]) -> Eval<[Option<Value>; N]> {
        let given = self.positional.len();
        if given > N {
            let plural = if N == 1 { "" } else { "s" };
            return Err(Fault::kind(format!("`{function}` takes at most {N} argument{plural}, {given} were given")));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional.drain(..)) {
            *slot = Some(value);
        }
        for (name, value) in self.keyword.drain(..) {
            let Some(i) = params.iter().position(|p| **p == *name) else {
                return Err(Fault::kind(format!("`{function}` has no argument `{name}`")));
            };
            if bound[i].is_some() {
                return Err(Fault::kind(format!("`{function}` got `{name}` twice")));
            }
            bound[i] = Some(value);
        }
        Ok(bound)
    }

    /// As [`bind`](Self::bind), with the first `R` parameters required.
    pub fn bind_required<const R: usize, const N: usize>(&mut self, function: &str, params: [&str; N]) -> Eval<[Option<Value>; N]> {
        let bound = self.bind(function, params)?;
        match bound.iter().take(R).position(Option::is_none) {
            Some(i) => Err(Fault::kind(format!("`{function}` needs the argument `{}`", params[i]))),
            None => Ok(bound),
        }
    }

    /// The only argument.
    pub fn single(&mut self, function: &str, param: &str) -> Eval<Value> {
        let [value] = self.bind_required::<1, 1>(function, [param])?;
        value.ok_or_else(|| Fault::kind(format!("`{function}` needs the argument `{param}`")))
    }

    pub fn nothing(&mut self, function: &str) -> Eval<()> {
        self.bind(function, []).map(|_| ())
    }

    pub fn take_keyword(&mut self, name: &str) -> Option<Value> {
        let i = self.keyword.iter().position(|(n, _)| **n == *name)?;
        Some(self.keyword.remove(i).1)
    }
}

/// What a parameter's value must be; messages name the function and the parameter.
pub(in crate::template) trait Expect {
    fn expect_str(&self, what: &str) -> Eval<&str>;
    fn expect_int(&self, what: &str) -> Eval<i64>;
    fn expect_items(&self, what: &str) -> Eval<Vec<Value>>;
}

impl Expect for Value {
    fn expect_str(&self, what: &str) -> Eval<&str> {
        self.as_str().ok_or_else(|| Fault::kind(format!("{what} must be a string, not `{}`", self.type_name())))
    }

    fn expect_int(&self, what: &str) -> Eval<i64> {
        match self {
            Self::Int(i) => Ok(*i),
            Self::Bool(b) => Ok(i64::from(*b)),
            other => Err(Fault::kind(format!("{what} must be an integer, not `{}`", other.type_name()))),
        }
    }

    fn expect_items(&self, what: &str) -> Eval<Vec<Value>> {
        self.iterate().ok_or_else(|| Fault::kind(format!("{what} must be iterable, not `{}`", self.type_name())))
    }
}
