//! Seed files as text, and the tables and faults that they give.

use serde_json::json;

use super::*;
use crate::{engine::value, plan::tests::node};

/// `NAME TYPE: values | NAME TYPE: values`
fn show(csv: &[u8], config: serde_json::Value) -> String {
    let mut seed = node("seed_s", &[]);
    seed.original_file_path = "seeds/s.csv".into();
    let config: serde_json::Map<String, Json> = serde_json::from_value(config).expect("an object");
    if let Some(types) = config.get("column_types") {
        seed.config.column_types = serde_json::from_value(types.clone()).expect("texts");
    }
    seed.config.all = config.into_iter().collect();
    match read(&seed, csv) {
        Err(faults) => faults
            .0
            .iter()
            .map(|d| format!("{}: {}", d.place.as_ref().map(ToString::to_string).unwrap_or_default(), d.message))
            .collect::<Vec<_>>()
            .join("\n"),
        Ok((schema, batches)) => schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| {
                let values: Vec<String> = batches
                    .iter()
                    .flat_map(|b| (0..b.num_rows()).map(|r| value::json(&value::of(b.column(i), f, r), false)).collect::<Vec<_>>())
                    .collect();
                format!("{} {}: {}", Identifier::exact(f.name()), value::type_name(f), values.join(" "))
            })
            .collect::<Vec<_>>()
            .join(" | "),
    }
}

#[test]
fn values_are_typed_by_their_looks() {
    for (csv, expect) in [
        ("a\n1\n-2\n\n", "A NUMBER(38,0): 1 -2"),
        ("a\n1\n2.5\n", "A FLOAT: 1.0 2.5"),
        ("a\n1e3\n", "A FLOAT: 1000.0"),
        ("a\n99999999999999999999\n", "A NUMBER(38,0): \"99999999999999999999\""),
        ("a\ntrue\nFalse\n", "A BOOLEAN: true false"),
        ("a\n2024-01-31\n", "A DATE: \"2024-01-31\""),
        ("a\n2024-01-31 10:00:00\n", "A TIMESTAMP_NTZ(9): \"2024-01-31 10:00:00.000\""),
        ("a\n2024-01-31T10:00:00.5Z\n", "A TIMESTAMP_NTZ(9): \"2024-01-31 10:00:00.500\""),
        ("a\n2024-01-31T10:00:00+09:00\n", "A TIMESTAMP_NTZ(9): \"2024-01-31 01:00:00.000\""),
        ("a\n2024-01-31\nx\n", "A VARCHAR: \"2024-01-31\" \"x\""),
        ("a\n2024-02-30\n", "A VARCHAR: \"2024-02-30\""),
        ("a\ninf\nnan\n", "A VARCHAR: \"inf\" \"nan\""),
        ("a\n\"$1,000\"\n", "A VARCHAR: \"$1,000\""),
        ("a,b\n1,\n,x\n", "A NUMBER(38,0): 1 null | B VARCHAR: null \"x\""),
        ("a,b\n1,null\n2,NULL\n", "A NUMBER(38,0): 1 2 | B NUMBER(38,0): null null"),
        ("a,b\n", "A NUMBER(38,0):  | B NUMBER(38,0): "),
        ("a\n\" x \"\n", "A VARCHAR: \" x \""),
        ("\u{feff}a,b\r\n1,\"x\r\ny\"\r\n", "A NUMBER(38,0): 1 | B VARCHAR: \"x\\r\\ny\""),
        ("제목,a\n가,1", "\"제목\" VARCHAR: \"가\" | A NUMBER(38,0): 1"),
        ("a\n5\"\n", "A VARCHAR: \"5\\\"\""),
        ("a\n\"say \"\"hi\"\"\"\n", "A VARCHAR: \"say \\\"hi\\\"\""),
    ] {
        assert_eq!(show(csv.as_bytes(), json!({})), expect, "{csv}");
    }
}

#[test]
fn configuration_decides() {
    for (csv, config, expect) in [
        ("id\n007\n", json!({"column_types": {"ID": "varchar(3)"}}), "ID VARCHAR: \"007\""),
        ("a\n1.005\n2\n", json!({"column_types": {"a": "number(10,2)"}}), "A NUMBER(10,2): \"1.01\" \"2.00\""),
        ("a\n-1.5e1\n", json!({"column_types": {"a": "decimal(5, 1)"}}), "A NUMBER(5,1): \"-15.0\""),
        ("a\n1\n", json!({"column_types": {"a": "float"}}), "A FLOAT: 1.0"),
        ("a\n1\n", json!({"column_types": {"a": "boolean"}}), "A BOOLEAN: true"),
        ("a\n2024-01-31\n", json!({"column_types": {"a": "timestamp_ntz"}}), "A TIMESTAMP_NTZ(9): \"2024-01-31 00:00:00.000\""),
        ("a\n13:30\n", json!({"column_types": {"a": "time"}}), "A TIME(9): \"13:30:00\""),
        (
            "a\n\"[1, {\"\"b\"\": 1, \"\"a\"\": 2}]\"\n",
            json!({"column_types": {"a": "array"}}),
            "A ARRAY: \"[1,{\\\"a\\\":2,\\\"b\\\":1}]\"",
        ),
        ("a\nhello\n", json!({"column_types": {"a": "variant"}}), "A VARIANT: \"\\\"hello\\\"\""),
        ("a\n4F\n", json!({"column_types": {"a": "binary"}}), "A BINARY: \"4F\""),
        ("Ab c\n1\n", json!({"quote_columns": true}), "\"Ab c\" NUMBER(38,0): 1"),
        ("a|b\n1|2\n", json!({"delimiter": "|"}), "A NUMBER(38,0): 1 | B NUMBER(38,0): 2"),
    ] {
        assert_eq!(show(csv.as_bytes(), config), expect, "{csv}");
    }
}

#[test]
fn faults_have_places() {
    for (csv, config, expect) in [
        (b"a,b\n1,2\n3\n".as_slice(), json!({}), "seeds/s.csv:3:1: a row has 1 value, the header 2 values"),
        (
            b"a,b\n1,2,3\n4,5,6\n",
            json!({}),
            "seeds/s.csv:2:5: a row has 3 values, the header 2 values\nseeds/s.csv:3:5: a row has 3 values, the header 2 values",
        ),
        (b"a,b\n1,\xff\n", json!({}), "seeds/s.csv:2:3: byte 0xFF is not UTF-8"),
        (
            b"a,b\n\n1,x\n2,y\n",
            json!({"column_types": {"b": "integer"}}),
            "seeds/s.csv:3:3: `x` is no integer\nseeds/s.csv:4:3: `y` is no integer",
        ),
        (b"a\n\"x\ny\"\n12345\n", json!({"column_types": {"a": "varchar(4)"}}), "seeds/s.csv:4:1: `12345` is no varchar(4)"),
        (b"a\n1000\n", json!({"column_types": {"a": "number(4,2)"}}), "seeds/s.csv:2:1: `1000` is no number(4,2)"),
        (b"a\n1\n", json!({"column_types": {"a": "nmber"}}), "models/seed_s.sql:1:1: `nmber`, the type of `a`, is not known"),
        (b"a,A\n1,2\n", json!({}), "seeds/s.csv:1:3: two columns are named `A`"),
        (b"a,,c\n1,2,3\n", json!({}), "seeds/s.csv:1:3: column 2 has no name"),
        (b"", json!({}), "seeds/s.csv:1:1: the file has no header"),
        (b"a,b\n1,\"x\n2,y\n", json!({}), "seeds/s.csv:2:3: a quote is opened and never closed"),
        (b"a\n1\n", json!({"delimiter": "ab"}), "models/seed_s.sql:1:1: the delimiter `ab` is not one ASCII character"),
    ] {
        assert_eq!(show(csv, config), expect, "{}", String::from_utf8_lossy(csv));
    }
}
