//! Calls of string, binary, bit and number functions: other names, other orders of arguments.

use sqlparser::ast::{BinaryOperator, Expr};

use super::{Call, binary, nested};
use crate::dialect::{
    SqlError,
    lower::expression::{cast, function, string},
    types::Type,
};

/// The call in the library's words, or as it was.
pub(super) fn rewrite(name: &str, mut c: Call) -> Result<Result<Expr, Call>, SqlError> {
    Ok(Ok(match name {
        "len" => c.named("length"),
        "charindex" | "position" => {
            c.arity(name, 2..=3)?;
            c.named("__position")
        }
        "substring" => c.named("substr"),
        "concat" => {
            let mut parts = std::mem::take(&mut c.args).into_iter();
            let Some(first) = parts.next() else {
                return Err(SqlError::new("sql/arguments", "`CONCAT` takes at least 1 argument"));
            };
            if parts.len() == 0 {
                return Ok(Ok(cast(first, Type::Varchar, false)));
            }
            // the operator knows the types: two BINARY values stay BINARY
            nested(parts.fold(first, |a, b| binary(a, BinaryOperator::StringConcat, b)))
        }
        "startswith" => c.named("starts_with"),
        "endswith" => c.named("ends_with"),
        "char" => c.named("chr"),
        "rlike" => c.named("regexp_like"),
        "like" | "ilike" => {
            c.arity(name, 2..=3)?;
            let escape = (c.args.len() == 3).then(|| c.take(2));
            let mut args = vec![c.take(0), c.take(1), string(if name == "ilike" { "i" } else { "" })];
            args.extend(escape);
            function("__like_regexp", args)
        }
        "regexp_extract_all" => c.named("regexp_substr_all"),
        "bit_and" => c.named("bitand"),
        "bit_or" => c.named("bitor"),
        "bit_xor" => c.named("bitxor"),
        "bit_not" => c.named("bitnot"),
        "bit_shiftleft" => c.named("bitshiftleft"),
        "bit_shiftright" => c.named("bitshiftright"),
        "ceiling" => c.named("ceil"),
        "truncate" => c.named("trunc"),
        "pow" => c.named("power"),
        "round" => {
            c.by_name(&["expr", "scale", "rounding_mode"])?;
            c.named("round")
        }
        "mod" => {
            c.arity(name, 2..=2)?;
            nested(binary(nested(c.take(0)), BinaryOperator::Modulo, nested(c.take(1))))
        }
        "regexp" => {
            c.arity(name, 2..=3)?;
            function("regexp_like", std::mem::take(&mut c.args))
        }
        _ => return Ok(Err(c)),
    }))
}
