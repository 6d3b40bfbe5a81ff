//! The language, as a table of templates and what they print.

use std::sync::Arc;

use super::*;
use crate::diagnostic::SourceFile;

/// Knows no names at all.
struct Nothing;

impl Host for Nothing {
    fn global(&self, _: &mut Machine<'_>, _: &str, _: Option<&str>) -> Eval<Option<Value>> {
        Ok(None)
    }
    fn known_names(&self) -> Vec<String> {
        vec!["range".into()]
    }
    fn call_function(&self, _: &mut Machine<'_>, name: &'static str, _: Args) -> Eval<Value> {
        Err(Fault::kind(name))
    }
    fn module_attribute(&self, _: &mut Machine<'_>, _: &'static str, _: &str) -> Eval<Option<Value>> {
        Ok(None)
    }
    fn call_module(&self, _: &mut Machine<'_>, _: &'static str, _: &str, _: &mut Args) -> Eval<Option<Value>> {
        Ok(None)
    }
    fn filter(&self, _: &mut Machine<'_>, _: &str, _: &Value, _: &mut Args) -> Option<Eval<Value>> {
        None
    }
    fn macro_called(&self, _: &ast::MacroDef) {}
}

fn run_within(template: &str, limits: Limits) -> Result<String, String> {
    let file = SourceFile::new("a.sql", template);
    let parsed = parse(&file, 0..template.len(), &Arc::from("p")).map_err(|d| format!("{} {}", d.code, d.message))?;
    let mut machine = Machine::new(&Nothing, &file, limits, true);
    match machine.run(&parsed.body) {
        Ok(()) => Ok(machine.finish().0),
        Err(Fault::Error(d)) => {
            let place = d.place.as_ref().map_or("", |p| &p.file.text[p.range.clone()]).to_owned();
            Err(format!("{} {} @{place}", d.code, d.message))
        }
        Err(Fault::Return { .. }) => Err("return".into()),
    }
}

fn run(template: &str) -> Result<String, String> {
    run_within(template, Limits::default())
}

#[track_caller]
fn check(template: &str, expect: &str) {
    assert_eq!(run(template).as_deref(), Ok(expect), "{template}");
}

#[track_caller]
fn fails(template: &str, expect: &str) {
    assert_eq!(run(template).err().as_deref(), Some(expect), "{template}");
}

#[test]
fn values_print_as_in_python() {
    for (template, expect) in [
        ("{{ true }} {{ none }} {{ 1.0 }} {{ 1e20 }} {{ 0.00001 }} {{ 1/3 }}", "True None 1.0 1e+20 1e-05 0.3333333333333333"),
        ("{{ ['a', 1, \"it's\", none] }}", "['a', 1, \"it's\", None]"),
        ("{{ {'a': 1, 'b': [true]} }}", "{'a': 1, 'b': [True]}"),
        ("{{ (1,) }} {{ (1, 2) }} {{ () }}", "(1,) (1, 2) ()"),
        ("{{ set([1, 1, 2]) }} {{ set() }}", "{1, 2} set()"),
        ("{{ ['a\\nb'] }}", "['a\\nb']"),
        ("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 4 / 2 }}", "3 -4 2 1024 0.5 2.0"),
        ("{{ 'a' ~ 1 ~ none }} {{ 'ab' * 2 }} {{ [1] + [2] }}", "a1None abab [1, 2]"),
        ("{{ missing }}|{{ missing is defined }}", "|False"),
        ("{{ 'a' 'b' }}", "ab"),
        ("{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }}", "True True True True False"),
        ("{{ 1 in [1] }} {{ 3 not in [1] }} {{ 'b' in 'abc' }} {{ 'a' in {'a': 1} }}", "True True True True"),
        ("{{ not 1 in [2] }}", "True"),
        ("{{ 'x' if false }}|{{ 'x' if true else 'y' }}", "|x"),
        ("{{ 0 or 'a' }} {{ 1 and 'b' }}", "a b"),
        ("{{ -3 | abs }} {{ -(3) }}", "3 -3"),
    ] {
        check(template, expect);
    }
}

#[test]
fn subscripts_and_slices() {
    for (template, expect) in [
        ("{{ [1,2,3][0] }}{{ [1,2,3][-1] }}{{ 'abc'[1] }}{{ {'a': 5}['a'] }}{{ {'a': 5}.a }}", "13b55"),
        ("{{ [1,2,3,4][1:3] }} {{ 'abcd'[:-1] }} {{ [1,2,3][::-1] }} {{ 'abcdef'[::2] }} {{ 'abc'[10:] }}", "[2, 3] abc [3, 2, 1] ace "),
        ("{{ {1: 'x'}[1] }}{{ {'a': {'b': 2}}['a'].b }}", "x2"),
        ("{{ [1][5] is defined }}", "False"),
    ] {
        check(template, expect);
    }
}

#[test]
fn scopes() {
    for (template, expect) in [
        ("{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}", "2"),
        ("{% set a = 1 %}{% for i in [1,2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}", "231"),
        ("{% set ns = namespace(n=0) %}{% for i in [1,2,3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "6"),
        ("{% set a, b = 1, 2 %}{{ a }}{{ b }}", "12"),
        ("{% set x %}<{{ 1 }}>{% endset %}{{ x }}{{ x | upper }}", "<1><1>"),
        ("{% set x | upper %}ab{% endset %}{{ x }}", "AB"),
        ("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3"),
        ("{% filter upper | replace('A', 'x') %}abc{% endfilter %}", "xBC"),
        ("{% set l = [] %}{% for i in [1,2] %}{% do l.append(i) %}{% endfor %}{{ l }}", "[1, 2]"),
        ("{% set l = [] %}{% do l.append(1) if true else none %}{{ l }}", "[1]"),
        ("{% set d = {} %}{% do d.update({'a': 1}) %}{% do d.update(b=2) %}{{ d }}", "{'a': 1, 'b': 2}"),
        ("{% raw %}{{ x }}{% endraw %}{# no #}", "{{ x }}"),
        ("a  {%- if true -%}  b  {%- endif %} c", "ab c"),
        ("line\n{{- ' x' }}\n", "line x\n"),
    ] {
        check(template, expect);
    }
}

#[test]
fn loops() {
    for (template, expect) in [
        ("{% for x in ['a','b'] %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}", "1a,2b"),
        ("{% for x in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for x in [1,2,3,4] if x % 2 == 0 %}{{ x }}/{{ loop.length }} {% endfor %}", "2/2 4/2 "),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("{% for a in [1,2,3] %}{% if a == 2 %}{% continue %}{% endif %}{{ a }}{% endfor %}", "13"),
        ("{% for a in [1,2,3] %}{% if a == 2 %}{% break %}{% endif %}{{ a }}{% endfor %}", "1"),
        ("{% for a in [1,2] %}{{ loop.first }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}", "True22 False11 "),
        ("{% for a in [1,2,3] %}{{ loop.cycle('x','y') }}{% endfor %}", "xyx"),
        ("{% for a in [1,1,2] %}{{ 'c' if loop.changed(a) else '-' }}{% endfor %}", "c-c"),
        ("{% for n in [{'v':1,'c':[{'v':2,'c':[]}]}] recursive %}{{ loop.depth }}:{{ n.v }}[{{ loop(n.c) }}]{% endfor %}", "1:1[2:2[]]"),
        ("{% for a in range(3) %}{% for b in range(2) %}{{ loop.index0 }}{% endfor %}{{ loop.index0 }} {% endfor %}", "010 011 012 "),
    ] {
        check(template, expect);
    }
}

#[test]
fn macros() {
    for (template, expect) in [
        ("{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, b=3) }} {{ m(b=1, a=0) }}", "1-2 1-3 0-1"),
        ("{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "(1, 2){'x': 3}"),
        ("{% macro m() %}{{ return([1, 2]) }}{% endmacro %}{{ m()[1] }}", "2"),
        ("{% macro m() %}{% for i in [1,2,3] %}{% if i == 2 %}{{ return(i) }}{% endif %}{% endfor %}{% endmacro %}{{ m() + 1 }}", "3"),
        ("{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{% endcall %}", "<x>"),
        ("{% macro m() %}<{{ caller(5) }}>{% endmacro %}{% call(n) m() %}{{ n + 1 }}{% endcall %}", "<6>"),
        (
            "{% macro o() %}{% call i() %}{{ return('out') }}{% endcall %}never{% endmacro %}{% macro i() %}[{{ caller() }}]{% endmacro %}{{ o() }}",
            "out",
        ),
        ("{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "2"),
        ("{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "321"),
        ("{% macro m(a, b) %}{{ b is defined }}{% endmacro %}{{ m(1) }}", "False"),
        ("{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "1"),
        ("{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1], **{'b': 2}) }}", "12"),
    ] {
        check(template, expect);
    }
}

#[test]
fn string_methods() {
    for (template, expect) in [
        ("{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.rsplit(',', 1) }}", "['a', 'b', 'c'] ['a', 'b'] ['a,b', 'c']"),
        ("{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' x'.lstrip() }}", "x|a|x"),
        (
            "{{ 'abc'.replace('b', 'x') }} {{ 'aXb'.lower() }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }}",
            "axc axb Hello World Hello",
        ),
        ("{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'c')) }}", "True True"),
        (
            "{{ ', '.join(['a', 'b']) }} {{ '{} {x} {1}'.format(1, 2, x=3) }} {{ '{:>5.1f}|{:,}'.format(2.25, 1234567) }}",
            "a, b 1 3 2   2.2|1,234,567",
        ),
        ("{{ '%s-%d-%05.2f-%%' % ('a', 3, 1.5) }} {{ '%(a)s' % {'a': 1} }}", "a-3-01.50-% 1"),
        ("{{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ 'abcabc'.count('a') }} {{ '7'.zfill(3) }} {{ '-7'.zfill(3) }}", "2 -1 2 007 -07"),
        ("{{ 'ab'.ljust(4, '.') }}{{ 'ab'.rjust(4) }}{{ 'ab'.center(6, '*') }}", "ab..  ab**ab**"),
        ("{{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ ''.isdigit() }}", "True True False"),
        (
            "{{ 'stg_x'.removeprefix('stg_') }} {{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }}",
            "x ('a', '.', 'b.c') ('a.b', '.', 'c')",
        ),
        ("{{ 'a\nb'.splitlines() }}", "['a', 'b']"),
    ] {
        check(template, expect);
    }
}

#[test]
fn collection_methods() {
    for (template, expect) in [
        (
            "{% set l = [3,1,2] %}{% do l.sort() %}{{ l }}{% do l.sort(reverse=true) %}{{ l }}{{ l.pop() }}{{ l.pop(0) }}{{ l }}",
            "[1, 2, 3][3, 2, 1]13[2]",
        ),
        (
            "{% set l = [1] %}{% do l.extend([2]) %}{% do l.insert(0, 0) %}{% do l.remove(1) %}{{ l }}{{ l.index(2) }}{{ l.count(0) }}",
            "[0, 2]11",
        ),
        ("{% set a = [1] %}{% set b = a %}{% do b.append(2) %}{{ a }}{% set c = a.copy() %}{% do c.clear() %}{{ a }}", "[1, 2][1, 2]"),
        ("{% set l = [1] %}{% do l.extend(l) %}{{ l }}", "[1, 1]"),
        (
            "{% set d = {'a': 1} %}{{ d.get('b') }}{{ d.get('b', 2) }}{{ d.pop('a') }}{{ d }}{{ d.setdefault('x', []) }}{{ d.keys() }}",
            "None21{}[]['x']",
        ),
        ("{% set d = {'items': 1} %}{{ d['items'] }}{{ d.items() }}", "1[('items', 1)]"),
        (
            "{% set s = set([1,2]) %}{% do s.add(3) %}{{ s.union([4]) }}{{ s.difference([1]) }}{{ s.intersection([1,9]) }}",
            "{1, 2, 3, 4}{2, 3}{1}",
        ),
        ("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}", "aba"),
        ("{% set j = joiner(',') %}{% for i in range(3) %}{{ j() }}{{ i }}{% endfor %}", "0,1,2"),
        ("{{ zip([1,2],['a','b']) | list }}", "[(1, 'a'), (2, 'b')]"),
        ("{{ dict(a=1) }}{{ dict([('x', 2)]) }}{{ range(5, 0, -2) | list }}", "{'a': 1}{'x': 2}[5, 3, 1]"),
    ] {
        check(template, expect);
    }
}

#[test]
fn filters() {
    for (template, expect) in [
        (
            "{{ [3,1,2] | sort | join(',') }} {{ ['b','A'] | sort }} {{ ['b','A'] | sort(case_sensitive=true, reverse=true) }}",
            "1,2,3 ['A', 'b'] ['b', 'A']",
        ),
        ("{{ [1,2,3] | map('string') | join('-') }} {{ [{'a':1},{'a':2}] | map(attribute='a') | list }}", "1-2-3 [1, 2]"),
        ("{{ [1,2,3,4] | select('odd') | list }} {{ [1,2] | reject('eq', 1) | list }} {{ ['', 'a'] | select | list }}", "[1, 3] [2] ['a']"),
        ("{{ [{'n':'a','v':1},{'n':'b','v':2}] | selectattr('v', 'gt', 1) | map(attribute='n') | first }}", "b"),
        ("{{ x | default('d') }} {{ '' | default('d', true) }} {{ none | default('d') }}", "d d None"),
        ("{{ 'abc' | length }} {{ [1,2] | sum }} {{ [1,5,2] | max }} {{ [[1,2],[3]] | sum(start=[]) }}", "3 3 5 [1, 2, 3]"),
        ("{{ 'abc' | reverse }} {{ [1,2] | last }} {{ [1,1,2] | unique | list }}", "cba 2 [1, 2]"),
        (
            "{{ '42' | int + 1 }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 2.5 | round }} {{ 1.234 | round(2) }} {{ 2.1 | round(0, 'ceil') }}",
            "43 7 1.5 2.0 1.23 3.0",
        ),
        ("{{ {'b': 1, 'a': 2} | dictsort }} {{ {'a': 1} | tojson }} {{ 'a\nb' | indent(2) }}", "[('a', 2), ('b', 1)] {\"a\": 1} a\n  b"),
        ("{{ [1,2,3] | batch(2) | list }} {{ [1,2,3] | slice(2) | list }}", "[[1, 2], [3]] [[1, 2], [3]]"),
        (
            "{% for g, xs in [{'k':'b','v':1},{'k':'a','v':2},{'k':'b','v':3}] | groupby('k') %}{{ g }}{{ xs | length }} {% endfor %}",
            "a1 b2 ",
        ),
        ("{{ 'a b c' | wordcount }} {{ 'abcdefghijkl' | truncate(5, true, leeway=0) }} {{ ' x ' | trim }}", "3 ab... x"),
        ("{{ '%s!' | format('a') }} {{ 'a' | replace('a', 'b') | upper }}", "a! B"),
    ] {
        check(template, expect);
    }
}

#[test]
fn predicates() {
    for (template, expect) in [
        ("{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is iterable }}{{ none is none }}", "TrueTrueTrueTrueTrue"),
        ("{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 4 is divisibleby(3) }}{{ 1 is not none }}", "TrueTrueFalseTrue"),
        ("{{ 1 is in [1] }}{{ 2 is gt 1 }}{{ 'a' is eq 'a' }}{{ true is boolean }}{{ 1 is boolean }}", "TrueTrueTrueTrueFalse"),
        ("{{ range is callable }}{{ 'a' is sequence }}{{ 1 is sameas 1 }}{{ 1.0 is float }}{{ 'A' is upper }}", "TrueTrueTrueTrueTrue"),
        ("{{ 'yes' if x is not defined or x is none else 'no' }}", "yes"),
    ] {
        check(template, expect);
    }
}

#[test]
fn faults_point_at_the_expression() {
    for (template, expect) in [
        ("a {{ rnge(3) }}", "template/undefined `rnge` is undefined @rnge"),
        ("{{ x.y.z }}", "template/undefined `x` is undefined @x"),
        ("{% set x = {} %}{{ x.y.z }}", "template/undefined `x.y` is undefined @x.y"),
        ("{{ 1 + 'a' }}", "template/type `+` does not work between `int` and `str` @1 + 'a'"),
        ("{{ 1 // 0 }}", "template/type `1 // 0` divides by zero @1 // 0"),
        ("{{ 'a' | uper }}", "template/undefined there is no filter `uper` @'a' | uper"),
        ("{{ [].apend(1) }}", "template/undefined a value of type `list` has no method `apend` @[].apend"),
        ("{% for x in 3 %}{% endfor %}", "template/type a value of type `int` cannot be iterated over @3"),
        ("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "template/type macro `m` takes 1 argument, 2 were given @m(1, 2)"),
        ("{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "template/type macro `m` has no argument `b` @m(b=2)"),
        ("{{ range(10000000) }}", "template/limit `range` of 10000000 numbers; at most 1000000 are made @range(10000000)"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template/recursion macros call each other more than 200 deep @f()"),
        ("{{ 9223372036854775807 + 1 }}", "template/type `9223372036854775807 + 1` does not fit into 64 bits @9223372036854775807 + 1"),
        (
            "{% set ns = namespace(s='x' * 1000000) %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "template/limit the text would be longer than 64 MiB @ns.s ~ ns.s",
        ),
        ("{{ 'x' * 100000000 }}", "template/limit the repetition would be too long @'x' * 100000000"),
        ("{{ return(1) }}", "template/type `return` works in macros only @return(1)"),
        ("{% set x = [] %}{% set x.y = 1 %}", "template/type attributes of a value of type `list` cannot be set @x"),
    ] {
        fails(template, expect);
    }
    assert_eq!(run("{% include 'x' %}").err().as_deref(), Some("template/syntax `{% include %}` is not available"));
    assert_eq!(run("{{ 1 + }}").err().as_deref(), Some("template/syntax unexpected end of variable block"));
    assert_eq!(run("{% foo %}").err().as_deref(), Some("template/syntax unknown block tag `foo`"));
}

#[test]
fn limits_hold() {
    let limits = Limits { steps: 1000, depth: 20, output: 1 << 20 };
    let steps = run_within("{% for a in range(100) %}{% for b in range(100) %}{% endfor %}{% endfor %}", limits);
    assert_eq!(steps.err().as_deref(), Some("template/limit the template takes more than 1000 steps @range(100)"));
    let output = run_within("{% set x = 'x' * 20000 %}{% for a in range(100) %}{{ x }}{% endfor %}", limits);
    assert_eq!(output.err().as_deref(), Some("template/limit the template writes more than 1 MiB @x"));
}

#[test]
fn deep_templates_do_not_overflow() {
    let sum = format!("{{{{ {} }}}}", vec!["1"; 900].join(" + "));
    check(&sum, "900");
    let nots = format!("{{{{ {}true }}}}", "not ".repeat(900));
    check(&nots, "True");
    fails_with_code(&format!("{{{{ {}1 }}}}", "- ".repeat(5000)), "template/limit");
    fails_with_code(&format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)), "template/syntax");
    let branches = format!("{{% if false %}}{}{{% else %}}x{{% endif %}}", "{% elif false %}a".repeat(400));
    check(&branches, "x");
    check("{% set l = [] %}{% do l.append(l) %}{{ (l | string) | length > 10 }}{{ l == l }}", "TrueTrue");
}

#[track_caller]
fn fails_with_code(template: &str, code: &str) {
    let error = run(template).expect_err("must fail");
    assert!(error.starts_with(code), "{error}");
}

#[test]
fn broken_templates_never_panic() {
    // every prefix of a template with everything in it
    let all = "{% macro m(a, b={'x': [1, 'y']}) -%} {{ a | join(', ', attribute='z') }} {%- endmacro %}{# c #}{% raw %}{{{% endraw %}\
               {% for k, v in {'é': (1,)}.items() if k is not none recursive %}{{ loop.cycle('ü', \"b\")[::-1] ~ v[0] }}{% else %}{% endfor %}\
               {% call(x) m(1) %}{% set y %}{% endset %}{% endcall %}{% test t(model) %}select{% endtest %}{% do m(*[1], **{}) if 1 < 2 %}";
    for end in (0..all.len()).filter(|i| all.is_char_boundary(*i)) {
        let _ = run(&all[..end]);
        let _ = run(&all[end..]);
    }
}
