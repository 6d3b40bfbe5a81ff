//! Why evaluation of an expression ends early: an error for the user, or `return(value)` on its way out.

use super::value::Value;
use crate::diagnostic::Diagnostic;

#[derive(Debug)]
pub enum Fault {
    Error(Box<Diagnostic>),
    /// `return(value)` out of the macro invocation with this number; 0 is the text itself.
    Return {
        invocation: u32,
        value: Value,
    },
}

pub type Eval<T> = Result<T, Fault>;

impl Fault {
    /// Without a place: whoever evaluates the expression adds it.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::Error(Box::new(Diagnostic::error(code, message)))
    }

    pub fn kind(message: impl Into<String>) -> Self {
        Self::new("template/type", message)
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Self::Error(d) = &mut self {
            d.help = Some(help.into());
        }
        self
    }
}

impl From<Diagnostic> for Fault {
    fn from(d: Diagnostic) -> Self {
        Self::Error(Box::new(d))
    }
}
