//! The owned syntax tree. Spans are byte offsets into the user's file, so trees outlive parsing and go between threads.

use std::sync::Arc;

use crate::diagnostic::SourceFile;

pub type Name = Arc<str>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub fn to(self, other: Span) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Debug)]
pub enum Stmt {
    /// Text of the file as it stands.
    Raw(Span),
    Emit(Expr),
    /// Shared with the `loop` variable, which can run it again.
    For(Arc<For>),
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    With {
        assignments: Vec<(Target, Expr)>,
        body: Vec<Stmt>,
    },
    Set {
        target: Target,
        value: Expr,
    },
    SetBlock {
        target: Target,
        filter: Option<Expr>,
        body: Vec<Stmt>,
    },
    FilterBlock {
        filter: Expr,
        body: Vec<Stmt>,
    },
    Macro(Arc<MacroDef>),
    Call(Box<CallBlock>),
    Do(Expr),
    Break,
    Continue,
}

#[derive(Debug)]
pub struct For {
    pub target: Target,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

/// What a value is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Name),
    /// `ns.attr`
    Attr(Expr, Name),
    Unpack(Vec<Target>, Span),
}

#[derive(Debug)]
pub struct CallBlock {
    /// Always an [`ExprKind::Call`].
    pub call: Expr,
    pub caller: Arc<MacroDef>,
}

/// A macro with the file that it stands in.
#[derive(Debug)]
pub struct MacroDef {
    pub name: Name,
    pub package: Name,
    pub file: Arc<SourceFile>,
    pub name_span: Span,
    pub params: Vec<(Name, Option<Expr>)>,
    pub body: Vec<Stmt>,
    /// Whether the body names `varargs`, `kwargs`: surplus arguments are an error otherwise.
    pub takes_varargs: bool,
    pub takes_kwargs: bool,
}

#[derive(Debug)]
pub struct Expr {
    pub span: Span,
    pub kind: ExprKind,
}

#[derive(Debug)]
pub enum ExprKind {
    Const(Const),
    Var(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Slice>),
    Call(Box<Expr>, Vec<Arg>),
    /// Without an expression inside `{% filter %}`: applies to the block's text.
    Filter(Name, Option<Box<Expr>>, Vec<Arg>),
    Test(Name, Box<Expr>, Vec<Arg>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `a < b <= c`
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
}

#[derive(Debug)]
pub struct Slice {
    pub value: Expr,
    pub start: Option<Expr>,
    pub stop: Option<Expr>,
    pub step: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum Const {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
}

#[derive(Debug)]
pub enum Arg {
    Positional(Expr),
    Keyword(Name, Expr),
    Splat(Expr),
    KeywordSplat(Expr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Concat,
}

impl Operator {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
            Self::Power => "**",
            Self::Concat => "~",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
