//! minijinja's tree -> ours: owned, with spans that cover the whole expression (its own begin at operators).

use std::{cell::Cell, sync::Arc};

use minijinja::{
    machinery::{Span as ForeignSpan, ast as foreign},
    value::{Value as ForeignValue, ValueKind},
};

use super::{
    ast::*,
    blocks::{DO_TARGET, Rewritten},
};
use crate::diagnostic::{Diagnostic, Place, SourceFile};

type Converted<T> = Result<T, Box<Diagnostic>>;

pub(super) struct Converter<'a> {
    pub file: &'a Arc<SourceFile>,
    pub rewritten: &'a Rewritten,
    pub package: &'a Name,
    /// Whether the macro being converted names `varargs` and `kwargs`.
    pub surplus: Cell<(bool, bool)>,
}

impl Converter<'_> {
    pub fn body(&self, statements: &[foreign::Stmt<'_>]) -> Converted<Vec<Stmt>> {
        let mut body = Vec::with_capacity(statements.len());
        for statement in statements {
            if let Some(statement) = self.statement(statement)? {
                body.push(statement);
            }
        }
        Ok(body)
    }

    fn span(&self, span: ForeignSpan) -> Span {
        Span::new(self.rewritten.original(span.start_offset as usize), self.rewritten.original(span.end_offset as usize))
    }

    fn unsupported<T>(&self, span: ForeignSpan, tag: &str) -> Converted<T> {
        Err(Box::new(
            Diagnostic::error("template/syntax", format!("`{{% {tag} %}}` is not available"))
                .at(Place::new(self.file, self.span(span).range()), "macros are found by name in every file; nothing needs to be imported"),
        ))
    }

    fn statement(&self, statement: &foreign::Stmt<'_>) -> Converted<Option<Stmt>> {
        Ok(Some(match statement {
            foreign::Stmt::Template(t) => return self.unsupported(t.span(), "template"),
            foreign::Stmt::EmitRaw(raw) => Stmt::Raw(self.span(raw.span())),
            foreign::Stmt::EmitExpr(e) => Stmt::Emit(self.expr(&e.expr)?),
            foreign::Stmt::ForLoop(f) => Stmt::For(Arc::new(For {
                target: self.target(&f.target)?,
                iter: self.expr(&f.iter)?,
                filter: f.filter_expr.as_ref().map(|e| self.expr(e)).transpose()?,
                recursive: f.recursive,
                body: self.body(&f.body)?,
                otherwise: self.body(&f.else_body)?,
            })),
            foreign::Stmt::IfCond(i) => {
                Stmt::If { condition: self.expr(&i.expr)?, then: self.body(&i.true_body)?, otherwise: self.body(&i.false_body)? }
            }
            foreign::Stmt::WithBlock(w) => Stmt::With {
                assignments: w.assignments.iter().map(|(t, e)| Ok((self.target(t)?, self.expr(e)?))).collect::<Converted<_>>()?,
                body: self.body(&w.body)?,
            },
            foreign::Stmt::Set(s) => match &s.target {
                foreign::Expr::Var(v) if v.id == DO_TARGET => Stmt::Do(self.expr(&s.expr)?),
                target => Stmt::Set { target: self.target(target)?, value: self.expr(&s.expr)? },
            },
            foreign::Stmt::SetBlock(s) => Stmt::SetBlock {
                target: self.target(&s.target)?,
                filter: s.filter.as_ref().map(|f| self.expr(f)).transpose()?,
                body: self.body(&s.body)?,
            },
            foreign::Stmt::FilterBlock(f) => Stmt::FilterBlock { filter: self.expr(&f.filter)?, body: self.body(&f.body)? },
            foreign::Stmt::AutoEscape(a) => return self.unsupported(a.span(), "autoescape"),
            foreign::Stmt::Block(b) => return self.unsupported(b.span(), "block"),
            foreign::Stmt::Import(i) => return self.unsupported(i.span(), "import"),
            foreign::Stmt::FromImport(i) => return self.unsupported(i.span(), "from"),
            foreign::Stmt::Extends(e) => return self.unsupported(e.span(), "extends"),
            foreign::Stmt::Include(i) => return self.unsupported(i.span(), "include"),
            foreign::Stmt::Macro(m) => Stmt::Macro(self.macro_def(m)?),
            foreign::Stmt::CallBlock(c) => {
                let args = self.args(&c.call.args)?;
                let callee = self.expr(&c.call.expr)?;
                let span = callee.span.to(self.span(c.call.span()));
                let caller = self.macro_def(&c.macro_decl)?;
                Stmt::Call(Box::new(CallBlock { call: Expr { span, kind: ExprKind::Call(Box::new(callee), args) }, caller }))
            }
            foreign::Stmt::Continue(_) => Stmt::Continue,
            foreign::Stmt::Break(_) => Stmt::Break,
            foreign::Stmt::Do(d) => {
                let callee = self.expr(&d.call.expr)?;
                let span = callee.span.to(self.span(d.call.span()));
                Stmt::Do(Expr { span, kind: ExprKind::Call(Box::new(callee), self.args(&d.call.args)?) })
            }
        }))
    }

    fn macro_def(&self, m: &foreign::Spanned<foreign::Macro<'_>>) -> Converted<Arc<MacroDef>> {
        let whole = self.span(m.span());
        let text = &self.file.text;
        // tests are declared without the prefix that their macro has
        let written = m.name.strip_prefix("test_").unwrap_or(m.name);
        let from = whole.start as usize;
        let name_span = match text.get(from..).and_then(|t| t.find(m.name).or_else(|| t.find(written)).map(|i| (i, t))) {
            Some((i, t)) if t[i..].starts_with(m.name) => Span::new(from + i, from + i + m.name.len()),
            Some((i, _)) => Span::new(from + i, from + i + written.len()),
            None => whole,
        };
        let required = m.args.len() - m.defaults.len();
        let mut params = Vec::with_capacity(m.args.len());
        for (i, arg) in m.args.iter().enumerate() {
            let foreign::Expr::Var(v) = arg else { continue };
            let default = i.checked_sub(required).and_then(|d| m.defaults.get(d)).map(|e| self.expr(e)).transpose()?;
            params.push((Name::from(v.id), default));
        }
        let outer = self.surplus.take();
        let body = self.body(&m.body)?;
        let (takes_varargs, takes_kwargs) = self.surplus.replace(outer);
        Ok(Arc::new(MacroDef {
            name: m.name.into(),
            package: self.package.clone(),
            file: self.file.clone(),
            name_span,
            params,
            body,
            takes_varargs,
            takes_kwargs,
        }))
    }

    fn target(&self, target: &foreign::Expr<'_>) -> Converted<Target> {
        Ok(match target {
            foreign::Expr::Var(v) => Target::Name(v.id.into()),
            foreign::Expr::GetAttr(a) => Target::Attr(self.expr(&a.expr)?, a.name.into()),
            foreign::Expr::List(l) => {
                Target::Unpack(l.items.iter().map(|t| self.target(t)).collect::<Converted<_>>()?, self.span(l.span()))
            }
            other => {
                return Err(Box::new(
                    Diagnostic::error("template/syntax", "nothing can be assigned to this")
                        .at(Place::new(self.file, self.span(other.span()).range()), "not a name"),
                ));
            }
        })
    }

    fn exprs(&self, items: &[foreign::Expr<'_>]) -> Converted<Vec<Expr>> {
        items.iter().map(|e| self.expr(e)).collect()
    }

    fn boxed(&self, e: &foreign::Expr<'_>) -> Converted<Box<Expr>> {
        Ok(Box::new(self.expr(e)?))
    }

    fn args(&self, args: &[foreign::CallArg<'_>]) -> Converted<Vec<Arg>> {
        args.iter()
            .map(|a| {
                Ok(match a {
                    foreign::CallArg::Pos(e) => Arg::Positional(self.expr(e)?),
                    foreign::CallArg::Kwarg(name, e) => Arg::Keyword((*name).into(), self.expr(e)?),
                    foreign::CallArg::PosSplat(e) => Arg::Splat(self.expr(e)?),
                    foreign::CallArg::KwargSplat(e) => Arg::KeywordSplat(self.expr(e)?),
                })
            })
            .collect()
    }

    fn expr(&self, e: &foreign::Expr<'_>) -> Converted<Expr> {
        let own = self.span(e.span());
        let (span, kind) = match e {
            foreign::Expr::Var(v) => {
                let (varargs, kwargs) = self.surplus.get();
                self.surplus.set((varargs || v.id == "varargs", kwargs || v.id == "kwargs"));
                (own, ExprKind::Var(v.id.into()))
            }
            foreign::Expr::Const(c) => (own, ExprKind::Const(self.constant(&c.value, own)?)),
            foreign::Expr::List(l) => (own, ExprKind::List(self.exprs(&l.items)?)),
            foreign::Expr::Tuple(t) => {
                let items = self.exprs(&t.items)?;
                let span = items.first().map_or(own, |f| f.span.to(own));
                (span, ExprKind::Tuple(items))
            }
            foreign::Expr::Map(m) => {
                let pairs = m.keys.iter().zip(&m.values).map(|(k, v)| Ok((self.expr(k)?, self.expr(v)?))).collect::<Converted<_>>()?;
                (own, ExprKind::Dict(pairs))
            }
            foreign::Expr::GetAttr(a) => {
                let value = self.boxed(&a.expr)?;
                (value.span.to(own), ExprKind::Attr(value, a.name.into()))
            }
            foreign::Expr::GetItem(i) => {
                let value = self.boxed(&i.expr)?;
                (value.span.to(own), ExprKind::Item(value, self.boxed(&i.subscript_expr)?))
            }
            foreign::Expr::Slice(s) => {
                let value = self.expr(&s.expr)?;
                let part = |e: &Option<foreign::Expr<'_>>| e.as_ref().map(|e| self.expr(e)).transpose();
                let span = value.span.to(own);
                (span, ExprKind::Slice(Box::new(Slice { value, start: part(&s.start)?, stop: part(&s.stop)?, step: part(&s.step)? })))
            }
            foreign::Expr::Call(c) => {
                let callee = self.boxed(&c.expr)?;
                (callee.span.to(own), ExprKind::Call(callee, self.args(&c.args)?))
            }
            foreign::Expr::Filter(f) => {
                let value = f.expr.as_ref().map(|e| self.boxed(e)).transpose()?;
                let span = value.as_ref().map_or(own, |v| v.span.to(own));
                (span, ExprKind::Filter(f.name.into(), value, self.args(&f.args)?))
            }
            foreign::Expr::Test(t) => {
                let value = self.boxed(&t.expr)?;
                (value.span.to(own), ExprKind::Test(t.name.into(), value, self.args(&t.args)?))
            }
            foreign::Expr::UnaryOp(u) => {
                let value = self.boxed(&u.expr)?;
                match u.op {
                    // `a not in b` arrives as a negated `in` whose span begins too early
                    foreign::UnaryOpKind::Not => {
                        let start = if own.start < value.span.start && !self.begins_with_not(own) { value.span } else { own };
                        (start.to(value.span), ExprKind::Not(value))
                    }
                    foreign::UnaryOpKind::Neg => (own, ExprKind::Negate(value)),
                }
            }
            foreign::Expr::BinOp(b) => {
                let (left, right) = (self.boxed(&b.left)?, self.boxed(&b.right)?);
                let span = left.span.to(right.span);
                use foreign::BinOpKind as B;
                let comparison = |c, left, right: Box<Expr>| ExprKind::Compare(left, vec![(c, *right)]);
                let kind = match b.op {
                    B::Add => ExprKind::Binary(Operator::Add, left, right),
                    B::Sub => ExprKind::Binary(Operator::Subtract, left, right),
                    B::Mul => ExprKind::Binary(Operator::Multiply, left, right),
                    B::Div => ExprKind::Binary(Operator::Divide, left, right),
                    B::FloorDiv => ExprKind::Binary(Operator::FloorDivide, left, right),
                    B::Rem => ExprKind::Binary(Operator::Remainder, left, right),
                    B::Pow => ExprKind::Binary(Operator::Power, left, right),
                    B::Concat => ExprKind::Binary(Operator::Concat, left, right),
                    B::ScAnd => ExprKind::And(left, right),
                    B::ScOr => ExprKind::Or(left, right),
                    B::Eq => comparison(Comparison::Eq, left, right),
                    B::Ne => comparison(Comparison::Ne, left, right),
                    B::Lt => comparison(Comparison::Lt, left, right),
                    B::Lte => comparison(Comparison::Le, left, right),
                    B::Gt => comparison(Comparison::Gt, left, right),
                    B::Gte => comparison(Comparison::Ge, left, right),
                    B::In => comparison(Comparison::In, left, right),
                };
                (span, kind)
            }
            foreign::Expr::Compare(c) => {
                let first = self.boxed(&c.expr)?;
                let mut span = first.span;
                let mut rest = Vec::with_capacity(c.ops.len());
                for op in &c.ops {
                    use foreign::CompareOpKind as C;
                    let operand = self.expr(&op.expr)?;
                    span = span.to(operand.span);
                    let comparison = match op.op {
                        C::Eq => Comparison::Eq,
                        C::Ne => Comparison::Ne,
                        C::Lt => Comparison::Lt,
                        C::Lte => Comparison::Le,
                        C::Gt => Comparison::Gt,
                        C::Gte => Comparison::Ge,
                        C::In => Comparison::In,
                        C::NotIn => Comparison::NotIn,
                    };
                    rest.push((comparison, operand));
                }
                (span, ExprKind::Compare(first, rest))
            }
            foreign::Expr::IfExpr(i) => {
                let then = self.boxed(&i.true_expr)?;
                let condition = self.boxed(&i.test_expr)?;
                let otherwise = i.false_expr.as_ref().map(|e| self.boxed(e)).transpose()?;
                let span = then.span.to(otherwise.as_ref().map_or(condition.span, |o| o.span));
                (span, ExprKind::If { condition, then, otherwise })
            }
        };
        Ok(Expr { span, kind })
    }

    fn begins_with_not(&self, span: Span) -> bool {
        self.file.text.get(span.start as usize..).is_some_and(|t| t.starts_with("not"))
    }

    fn constant(&self, value: &ForeignValue, span: Span) -> Converted<Const> {
        Ok(match value.kind() {
            ValueKind::None | ValueKind::Undefined => Const::None,
            ValueKind::Bool => Const::Bool(value.is_true()),
            ValueKind::Number if value.is_integer() => match i64::try_from(value.clone()) {
                Ok(i) => Const::Int(i),
                Err(_) => {
                    return Err(Box::new(
                        Diagnostic::error("template/syntax", "the integer does not fit into 64 bits")
                            .at(Place::new(self.file, span.range()), "too large"),
                    ));
                }
            },
            ValueKind::Number => Const::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
            _ => Const::Str(value.as_str().unwrap_or_default().into()),
        })
    }
}
