//! The finite part of Python's `itertools`, as lists.

use super::super::jinja::{Args, Eval, Expect, Fault, Machine, Value, zip};

const MAX_RESULT: usize = 1_000_000;

pub(super) fn call(machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    let lists = |values: &[Value]| values.iter().map(|v| v.expect_items("an argument")).collect::<Eval<Vec<_>>>();
    let too_many = || Fault::new("template/limit", format!("`itertools.{name}` would give more than {MAX_RESULT} items"));
    Ok(Some(match name {
        "chain" => Value::list(lists(&args.positional)?.concat()),
        "product" => {
            let repeat = args.take_keyword("repeat").map_or(Ok(1), |r| r.expect_int("`repeat`"))?.clamp(0, 20) as usize;
            let lists = lists(&args.positional)?;
            let pools: Vec<&Vec<Value>> = std::iter::repeat_n(&lists, repeat).flatten().collect();
            let count = pools.iter().try_fold(1usize, |n, p| n.checked_mul(p.len()).filter(|n| *n <= MAX_RESULT)).ok_or_else(too_many)?;
            machine.charge(count)?;
            let mut rows: Vec<Vec<Value>> = vec![vec![]];
            for pool in pools {
                rows = rows.iter().flat_map(|row| pool.iter().map(|v| [row.clone(), vec![v.clone()]].concat())).collect();
            }
            tuples(rows)
        }
        "combinations" | "permutations" => {
            let [items, size] = args.bind_required::<1, 2>(name, ["iterable", "r"])?;
            let items = items.unwrap_or(Value::None).expect_items("the argument")?;
            let size = size.filter(|s| !s.is_none()).map_or(Ok(items.len() as i64), |s| s.expect_int("`r`"))?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let mut rows: Vec<Vec<usize>> = vec![vec![]];
            for _ in 0..size.min(items.len() + 1) {
                let mut next = vec![];
                for row in &rows {
                    for i in 0..items.len() {
                        let fits = if name == "combinations" { row.last().is_none_or(|last| i > *last) } else { !row.contains(&i) };
                        if fits {
                            next.push([row.as_slice(), &[i]].concat());
                        }
                    }
                    if next.len() > MAX_RESULT {
                        return Err(too_many());
                    }
                }
                machine.charge(next.len())?;
                rows = next;
            }
            tuples(rows.into_iter().map(|row| row.into_iter().map(|i| items[i].clone()).collect()).collect())
        }
        "zip_longest" => {
            let fill = args.take_keyword("fillvalue").unwrap_or(Value::None);
            let mut lists = lists(&args.positional)?;
            let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
            lists.iter_mut().for_each(|l| l.resize(longest, fill.clone()));
            zip(lists.into_iter().map(Value::list).collect())?
        }
        "islice" => {
            let items = args.positional.first().map_or(Ok(vec![]), |v| v.expect_items("the argument"))?;
            let bounds =
                args.positional[1.min(args.positional.len())..].iter().map(|v| v.expect_int("a bound")).collect::<Eval<Vec<_>>>()?;
            let (start, stop, step) = match bounds.as_slice() {
                [stop] => (0, *stop, 1),
                [start, stop] => (*start, *stop, 1),
                [start, stop, step, ..] => (*start, *stop, *step),
                [] => return Err(Fault::kind("`islice` needs an end")),
            };
            let (start, stop, step) = (start.max(0) as usize, stop.max(0) as usize, step.max(1) as usize);
            Value::list(items.into_iter().take(stop).skip(start).step_by(step).collect())
        }
        "repeat" => {
            let [item, times] = args.bind_required::<2, 2>(name, ["object", "times"])?;
            let times = times.unwrap_or(Value::None).expect_int("`times`")?.max(0) as usize;
            if times > MAX_RESULT {
                return Err(too_many());
            }
            Value::list(vec![item.unwrap_or(Value::None); times])
        }
        "accumulate" => {
            let items = args.single(name, "iterable")?.expect_items("the argument")?;
            let mut total = 0.0;
            let mut integral = true;
            let sums = items.iter().map(|v| {
                match v {
                    Value::Int(i) => total += *i as f64,
                    Value::Float(f) => {
                        integral = false;
                        total += f;
                    }
                    other => return Err(Fault::kind(format!("`accumulate` needs numbers, not `{}`", other.type_name()))),
                }
                Ok(if integral { Value::Int(total as i64) } else { Value::Float(total) })
            });
            Value::list(sums.collect::<Eval<_>>()?)
        }
        _ => return Ok(None),
    }))
}

fn tuples(rows: Vec<Vec<Value>>) -> Value {
    Value::list(rows.into_iter().map(Value::tuple).collect())
}
