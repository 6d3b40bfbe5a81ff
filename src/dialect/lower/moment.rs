//! Dates, times and conversions: names and argument shapes to those of the function library; intervals; the present.

use sqlparser::ast::{BinaryOperator, DataType as SqlType, DateTimeField, Expr, Interval, TimezoneInfo, Value};

use super::{
    LowerContext,
    call::Call,
    expression::{cast, function, number, string},
};
use crate::dialect::{SqlError, function::find_part, settings::Settings, types::Type};

/// The type that a cast names; TIMESTAMP is what the session maps it to.
pub(super) fn mapped(sql: &SqlType, settings: &Settings) -> Result<Type, SqlError> {
    let of = Type::from_sql(sql)?;
    Ok(if is_unspecific(sql) { settings.timestamp } else { of })
}

/// TIMESTAMP and DATETIME, which do not say how they treat time zones.
pub fn is_unspecific(sql: &SqlType) -> bool {
    match sql {
        SqlType::Timestamp(_, TimezoneInfo::None) => true,
        SqlType::Custom(name, _) => name.to_string().eq_ignore_ascii_case("timestamp"),
        _ => false,
    }
}

/// A cast to a type as it is written, with its digits of a second.
pub(super) fn cast_to(expr: Expr, sql: &SqlType, lenient: bool, settings: &Settings) -> Result<Expr, SqlError> {
    let target = mapped(sql, settings)?;
    let converted = cast(expr, target, lenient);
    if target == Type::Varchar
        && let Some(length) = digits_of(sql).or_else(|| is_character(sql).then_some(1))
    {
        // nothing is cut: a text that is too long is an error, or NULL of TRY_CAST (Snowflake documentation, "TRY_CAST")
        let name = if lenient { "__fit_or_null" } else { "__fit" };
        return Ok(function(name, vec![converted, number(length)]));
    }
    if !target.is_moment() || target == Type::Date {
        return Ok(converted);
    }
    let text = sql.to_string();
    match digits_of(sql) {
        None => Ok(converted),
        Some(n @ 0..=9) => Ok(with_digits(converted, n)),
        Some(n) => Err(SqlError::new("sql/type", format!("`{text}` is not a type: a second has 0 to 9 digits, not {n}"))),
    }
}

/// CHAR and CHARACTER without a length: one character (Snowflake documentation, "String & binary data types").
fn is_character(sql: &SqlType) -> bool {
    matches!(sql.to_string().to_uppercase().as_str(), "CHAR" | "CHARACTER" | "NCHAR")
}

/// The number in parentheses behind a type's name.
fn digits_of(sql: &SqlType) -> Option<i64> {
    sql.to_string().split_once('(').and_then(|(_, rest)| rest.split(')').next()?.trim().parse().ok())
}

fn with_digits(expr: Expr, digits: i64) -> Expr {
    // microseconds are kept, so 6 and more cut nothing of a timestamp
    if digits >= 9 { expr } else { function("__second_digits", vec![expr, number(digits)]) }
}

/// `moment + INTERVAL '1 year, 3 days'` as DATEADDs, in the order of the text (Snowflake documentation, "Interval
/// constants").
pub(super) fn interval(left: &mut Expr, op: &BinaryOperator, right: &mut Expr) -> Result<Option<Expr>, SqlError> {
    let negative = *op == BinaryOperator::Minus;
    let (moment, interval) = match (&*left, &*right) {
        (Expr::Interval(_), Expr::Interval(_)) => return Err(SqlError::unsupported("arithmetic between intervals")),
        (_, Expr::Interval(i)) if matches!(op, BinaryOperator::Plus | BinaryOperator::Minus) => (left.clone(), i.clone()),
        (Expr::Interval(i), _) if *op == BinaryOperator::Plus => (right.clone(), i.clone()),
        _ => return Ok(None),
    };
    let mut result = moment;
    for (part, n) in increments(&interval)? {
        result = function("dateadd", vec![string(part), number(if negative { -n } else { n }), result]);
    }
    Ok(Some(result))
}

/// Parts and how many of each.
fn increments(interval: &Interval) -> Result<Vec<(String, i64)>, SqlError> {
    let wrong = |text: &str| {
        SqlError::new("sql/interval", format!("`{text}` is not an interval")).help("write INTERVAL '1 year, 3 months, 5 days'")
    };
    let (text, field) = match (interval.value.as_ref(), &interval.leading_field) {
        (Expr::Value(v), field) => match &v.value {
            Value::SingleQuotedString(s) => (s.clone(), field),
            Value::Number(n, _) => (n.clone(), field),
            other => return Err(wrong(&other.to_string())),
        },
        (other, _) => return Err(wrong(&other.to_string())),
    };
    if interval.last_field.is_some() {
        return Err(SqlError::unsupported("intervals from one part to another"));
    }
    let mut found = vec![];
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (negative, digits) = match rest.as_bytes()[0] {
            b'-' => (true, rest[1..].trim_start()),
            b'+' => (false, rest[1..].trim_start()),
            _ => (false, rest),
        };
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        let n: i64 = digits[..length].parse().map_err(|_| wrong(&text))?;
        rest = digits[length..].trim_start();
        let letters = rest.chars().take_while(|c| c.is_alphabetic() || *c == '_').map(char::len_utf8).sum::<usize>();
        let part = match (&rest[..letters], field) {
            // a number alone counts seconds
            ("", None) => "second".to_owned(),
            ("", Some(field)) => field_name(field),
            (word, _) => word.to_lowercase(),
        };
        if find_part(&part).is_none() {
            return Err(wrong(&text));
        }
        found.push((part, if negative { -n } else { n }));
        rest = rest[letters..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    if found.is_empty() { Err(wrong(&text)) } else { Ok(found) }
}

/// The name of EXTRACT's part, quoted or not.
pub(super) fn field_name(field: &DateTimeField) -> String {
    field.to_string().trim_matches(['\'', '"']).to_lowercase()
}

/// The running statement's moment, as TIMESTAMP_LTZ.
fn present(context: &LowerContext) -> Expr {
    function("__instant", vec![number(context.facts.now())])
}

fn conversion(c: &mut Call, name: &str, target: Type) -> Result<Expr, SqlError> {
    c.arity(name, 1..=2)?;
    let lenient = name.starts_with("try_");
    if c.args.len() == 1 {
        return Ok(cast(c.take(0), target, lenient));
    }
    let base = match target {
        Type::Date => "to_date",
        Type::Time => "to_time",
        Type::TimestampLtz => "to_timestamp_ltz",
        Type::TimestampTz => "to_timestamp_tz",
        _ => "to_timestamp_ntz",
    };
    let full = if lenient { format!("try_{base}") } else { base.to_owned() };
    Ok(function(&full, vec![c.take(0), c.take(1)]))
}

/// The calls of this family; `None` for those of others.
pub(super) fn rewrite(name: &str, c: &mut Call, context: &LowerContext) -> Result<Option<Expr>, SqlError> {
    let all = |c: &mut Call| std::mem::take(&mut c.args);
    Ok(Some(match name {
        "year" | "month" | "day" | "dayofmonth" | "quarter" | "hour" | "minute" | "second" | "week" | "weekofyear" | "weekiso"
        | "yearofweek" | "yearofweekiso" | "dayofweek" | "dayofweekiso" | "dayofweek_iso" | "dayofyear" => {
            c.arity(name, 1..=1)?;
            function("date_part", vec![string(name), c.take(0)])
        }
        "datepart" => function("date_part", all(c)),
        "datefromparts" => function("date_from_parts", all(c)),
        "timefromparts" => function("time_from_parts", all(c)),
        "timestampntzfromparts" => function("timestamp_ntz_from_parts", all(c)),
        "timestampltzfromparts" => function("timestamp_ltz_from_parts", all(c)),
        "timestamptzfromparts" => function("timestamp_tz_from_parts", all(c)),
        "timestamp_from_parts" | "timestampfromparts" => function(
            match context.settings.timestamp {
                Type::TimestampLtz => "timestamp_ltz_from_parts",
                Type::TimestampTz => "timestamp_tz_from_parts",
                _ => "timestamp_ntz_from_parts",
            },
            all(c),
        ),
        "timestampadd" | "timeadd" => function("dateadd", all(c)),
        "timestampdiff" | "timediff" => function("datediff", all(c)),
        "trunc" | "truncate" if c.args.len() == 2 && part_of(&c.args[1]).is_some() => {
            let part = part_of(&c.args[1]).unwrap_or_default();
            function("date_trunc", vec![string(part), c.take(0)])
        }
        // the present
        "current_timestamp" | "localtimestamp" | "getdate" | "systimestamp" | "sysdatetime" | "current_time" | "localtime" => {
            c.arity(name, 0..=1)?;
            let digits = match c.args.first() {
                None => None,
                Some(Expr::Value(v)) => match &v.value {
                    Value::Number(n, _) => n.parse::<i64>().ok().filter(|n| (0..=9).contains(n)),
                    _ => None,
                },
                Some(_) => None,
            };
            if !c.args.is_empty() && digits.is_none() {
                return Err(SqlError::new("sql/arguments", format!("`{}` takes a number of digits from 0 to 9", name.to_uppercase())));
            }
            let moment =
                if matches!(name, "current_time" | "localtime") { cast(present(context), Type::Time, false) } else { present(context) };
            digits.map_or(moment.clone(), |n| with_digits(moment, n))
        }
        "current_date" => {
            c.arity(name, 0..=0)?;
            cast(present(context), Type::Date, false)
        }
        "sysdate" => {
            c.arity(name, 0..=0)?;
            function(
                "convert_timezone",
                vec![string(context.settings.timezone.name()), string("UTC"), cast(present(context), Type::TimestampNtz, false)],
            )
        }
        // conversion
        "date" | "to_date" | "try_to_date" => conversion(c, name, Type::Date)?,
        "time" | "to_time" | "try_to_time" => conversion(c, name, Type::Time)?,
        "to_timestamp" | "timestamp" | "try_to_timestamp" => conversion(c, name, context.settings.timestamp)?,
        "to_timestamp_ntz" | "try_to_timestamp_ntz" => conversion(c, name, Type::TimestampNtz)?,
        "to_timestamp_ltz" | "try_to_timestamp_ltz" => conversion(c, name, Type::TimestampLtz)?,
        "to_timestamp_tz" | "try_to_timestamp_tz" => conversion(c, name, Type::TimestampTz)?,
        "to_varchar" | "to_char" => {
            c.arity(name, 1..=2)?;
            if c.args.len() == 1 { cast(c.take(0), Type::Varchar, false) } else { function("to_varchar", all(c)) }
        }
        "to_boolean" | "try_to_boolean" => one(c, name, Type::Boolean)?,
        "to_double" | "try_to_double" => {
            c.arity(name, 1..=2)?;
            if c.args.len() == 1 {
                cast(c.take(0), Type::Float, name.starts_with("try_"))
            } else {
                let read = if name.starts_with("try_") { "__try_to_number" } else { "__to_number" };
                let exact = function(read, vec![c.take(0), c.take(1), string("NUMBER(38,9)")]);
                cast(exact, Type::Float, false)
            }
        }
        "to_number" | "to_decimal" | "to_numeric" | "try_to_number" | "try_to_decimal" | "try_to_numeric" => to_number(c, name)?,
        _ => return Ok(None),
    }))
}

fn one(c: &mut Call, name: &str, target: Type) -> Result<Expr, SqlError> {
    c.arity(name, 1..=1)?;
    Ok(cast(c.take(0), target, name.starts_with("try_")))
}

/// A date part as TRUNC takes it, which cuts numbers too: in quotes, or one of the common words.
fn part_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => find_part(s).map(|_| s.to_lowercase()),
            _ => None,
        },
        Expr::Identifier(ident) => {
            let word = ident.value.to_lowercase();
            matches!(word.as_str(), "year" | "quarter" | "month" | "week" | "day" | "hour" | "minute" | "second").then_some(word)
        }
        _ => None,
    }
}

/// `TO_NUMBER(value [, format] [, precision [, scale]])`
fn to_number(c: &mut Call, name: &str) -> Result<Expr, SqlError> {
    c.arity(name, 1..=4)?;
    let lenient = name.starts_with("try_");
    let literal = |e: &Expr| match e {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => n.parse::<i64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let has_format = c.args.get(1).is_some_and(|e| literal(e).is_none());
    let format = has_format.then(|| c.args.remove(1));
    let limits: Vec<i64> = c.args.iter().skip(1).filter_map(literal).collect();
    if limits.len() + 1 != c.args.len() || limits.len() > 2 {
        return Err(SqlError::new("sql/arguments", format!("precision and scale of `{}` are whole numbers", name.to_uppercase())));
    }
    let (precision, scale) = (limits.first().copied().unwrap_or(38), limits.get(1).copied().unwrap_or(0));
    if !(1..=38).contains(&precision) || !(0..=37).contains(&scale) || scale > precision {
        return Err(SqlError::new("sql/arguments", format!("NUMBER({precision},{scale}) is not a type"))
            .help("precision is 1 to 38, scale 0 to 37 and not above the precision"));
    }
    let target = Type::Number { precision: precision as u8, scale: scale as i8 };
    let value = c.take(0);
    Ok(match format {
        None => cast(value, target, lenient),
        Some(format) => function(if lenient { "__try_to_number" } else { "__to_number" }, vec![value, format, string(target.to_string())]),
    })
}
