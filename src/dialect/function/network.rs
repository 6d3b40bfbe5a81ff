//! Addresses taken apart: PARSE_IP and PARSE_URL, whose results are semi-structured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use datafusion::{arrow::array::ArrayRef, common::Result};
use serde_json::{Map, Value as Json, json};

use super::{
    json::object,
    scalar::{Arity, Function, Rows, fail, texts},
    value::canonical,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("parse_ip", Arity::Between(2, 3), object, |r| {
        let kinds = r.text(1)?;
        parsed(r, 2, |i, text| match kinds.value(i).to_uppercase().as_str() {
            "INET" => address(text),
            other => Err(format!("the type of an address is 'INET', not '{other}'")),
        })
    }),
    Function::new("parse_url", Arity::Between(1, 2), object, |r| parsed(r, 1, |_, text| url(text))),
];

/// With a permissive flag of 1 a fault is a value.
fn parsed(r: &Rows, flag: usize, f: impl Fn(usize, &str) -> std::result::Result<Json, String>) -> Result<ArrayRef> {
    let values = r.text(0)?;
    let permissive = if r.args.len() > flag { Some(r.integers(flag)?) } else { None };
    texts(r, |i| {
        if r.any_null(i) {
            return Ok(None);
        }
        match f(i, values.value(i)) {
            Ok(value) => Ok(Some(canonical(&value))),
            Err(error) if permissive.as_ref().is_some_and(|p| p.value(i) != 0) => Ok(Some(canonical(&json!({ "error": error })))),
            Err(error) => fail(format!("'{}' cannot be parsed: {error}", values.value(i))),
        }
    })
}

fn address(text: &str) -> std::result::Result<Json, String> {
    let (host, prefix) = match text.trim().split_once('/') {
        Some((host, prefix)) => (host, Some(prefix.parse::<u8>().map_err(|_| format!("`{prefix}` is not the length of a prefix"))?)),
        None => (text.trim(), None),
    };
    let too_long = |bits: u8| prefix.filter(|p| *p > bits).map_or(Ok(()), |p| Err(format!("a prefix of {p} bits is too long")));
    let mut fields = Map::new();
    fields.insert("host".into(), Json::from(host));
    fields.insert("ip_type".into(), Json::from("inet"));
    fields.insert("netmask_prefix_length".into(), prefix.map_or(Json::Null, Json::from));
    fields.insert("snowflake$type".into(), Json::from("ip_address"));
    match host.parse::<IpAddr>().map_err(|_| "it is not an IP address".to_owned())? {
        IpAddr::V4(v4) => {
            too_long(32)?;
            let number = v4.to_bits();
            fields.insert("family".into(), Json::from(4));
            fields.insert("ipv4".into(), Json::from(number));
            fields.insert("ip_fields".into(), json!([number, 0, 0, 0]));
            if let Some(prefix) = prefix {
                let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                fields.insert("ipv4_range_start".into(), Json::from(Ipv4Addr::from_bits(number & !mask).to_bits()));
                fields.insert("ipv4_range_end".into(), Json::from(Ipv4Addr::from_bits(number | mask).to_bits()));
            }
        }
        IpAddr::V6(v6) => {
            too_long(128)?;
            let number = v6.to_bits();
            let words: Vec<u32> = (0..4).rev().map(|i| (number >> (32 * i)) as u32).collect();
            let hex = |n: u128| Json::from(format!("{:032X}", Ipv6Addr::from_bits(n).to_bits()));
            fields.insert("family".into(), Json::from(6));
            fields.insert("hex_ipv6".into(), hex(number));
            fields.insert("ip_fields".into(), Json::from(words));
            if let Some(prefix) = prefix {
                let mask = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                fields.insert("hex_ipv6_range_start".into(), hex(number & !mask));
                fields.insert("hex_ipv6_range_end".into(), hex(number | mask));
            }
        }
    }
    Ok(Json::Object(fields))
}

/// Scheme, host, port, path, query with its parameters, fragment: as they are written, nothing decoded.
fn url(text: &str) -> std::result::Result<Json, String> {
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic()) && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    let (scheme, rest) = text.split_once(':').filter(|(s, _)| is_scheme(s)).ok_or("scheme not specified")?;
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, f)| (rest, Some(f)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, q)| (rest, Some(q)));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or((Some(rest), ""), |(authority, path)| (Some(authority), path)),
        None => (None, rest.strip_prefix('/').unwrap_or(rest)),
    };
    let is_port = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    let (host, port) = match authority {
        Some(authority) => match authority.rsplit_once(':').filter(|(_, p)| is_port(p)) {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
        None => (None, None),
    };
    let parameters = query.map(|query| {
        let pairs = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
        Json::Object(pairs.map(|(key, value)| (key.to_owned(), Json::from(value))).collect())
    });
    Ok(json!({
        "scheme": scheme, "host": host, "port": port, "path": path, "query": query, "fragment": fragment, "parameters": parameters,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let v4 = address("192.168.242.188/24").expect("an address");
        assert_eq!((&v4["ipv4_range_start"], &v4["ipv4_range_end"]), (&json!(3_232_297_472_u32), &json!(3_232_297_727_u32)));
        let v6 = address("fe80::20c:29ff:fe2c:429/64").expect("an address");
        assert_eq!(v6["hex_ipv6_range_end"], "FE80000000000000FFFFFFFFFFFFFFFF");
        assert_eq!(v6["ip_fields"], json!([4_269_801_472_u32, 0, 34_351_615, 4_264_297_513_u32]));
        assert_eq!(address("0.0.0.0/0").expect("an address")["ipv4_range_end"], json!(u32::MAX));
        assert!(address("192.168.242.188/33").is_err() && address("nonsense").is_err());
    }

    #[test]
    fn urls() {
        for (text, wanted) in [
            (
                "https://www.snowflake.com/",
                json!({"scheme": "https", "host": "www.snowflake.com", "path": "", "port": null, "query": null, "fragment": null, "parameters": null}),
            ),
            (
                "HTTP://USER:PASS@EXAMPLE.INT:4345/HELLO.PHP?USER=1",
                json!({"scheme": "HTTP", "host": "USER:PASS@EXAMPLE.INT", "path": "HELLO.PHP", "port": "4345", "query": "USER=1", "fragment": null, "parameters": {"USER": "1"}}),
            ),
            (
                "mailto:abc@xyz.com",
                json!({"scheme": "mailto", "host": null, "path": "abc@xyz.com", "port": null, "query": null, "fragment": null, "parameters": null}),
            ),
        ] {
            assert_eq!(url(text).as_ref(), Ok(&wanted), "{text}");
        }
        assert_eq!(url("example.int/hello.php?user=12#nofragment"), Err("scheme not specified".into()));
    }
}
