//! `run-operation`: one macro, with arguments as YAML. What it logs is shown; what it returns is nobody's.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::{
    cli::{
        args::Selecting,
        artifacts,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, load, target_folder, warn},
    },
    diagnostic::{Diagnostic, Diagnostics},
    run::event::{LogLevel, Status},
    template::MacroCall,
};

pub(super) fn run(name: &str, args: Option<&str>, config: &Config) -> Result<i32, Failure> {
    let project = load("run-operation", &[], config)?;
    let kwargs = arguments(args)?;
    if !project.environment.has_macro(name) {
        let message = format!("dbt could not find a macro with the name '{name}' in any package");
        return Err(Diagnostic::error("template/unknown-macro", message).into());
    }
    let workspace = Workspace::open(project.clone())?;
    let call = MacroCall { name: name.to_owned(), args: vec![], kwargs };
    // a long operation is followed by what it logs, and one that fails tells how far it came
    let (teller, is_debug) = (config.clone(), config.level == LogLevel::Debug);
    let told = move |line: &str, info: bool| match info {
        true => print(line),
        false if is_debug => message::note(line, &teller),
        false => {}
    };
    let ended = project.call_macro(&call, None, &Default::default(), &workspace.introspection().telling(Box::new(told)));
    let mut result = artifacts::operation(&project, name);
    let code = match ended {
        Ok(returned) => {
            warn(&Diagnostics(returned.warnings), config)?;
            0
        }
        Err(faults) => {
            result.status = Status::Error;
            result.message = faults.0.first().map(|d| d.message.clone()).unwrap_or_default();
            result.diagnostics = faults.0.clone();
            message::failure(&Failure::of_work(faults), config);
            1
        }
    };
    let more = json!({"macro": name, "args": args.unwrap_or("{}")});
    let arguments = artifacts::arguments("run-operation", &Selecting::default(), more, config);
    let report = artifacts::report(vec![std::sync::Arc::new(result)], config);
    artifacts::write(&target_folder(&project, config), &project, &report, arguments, config)?;
    Ok(code)
}

fn arguments(text: Option<&str>) -> Result<IndexMap<String, Json>, Diagnostic> {
    let Some(text) = text else { return Ok(IndexMap::new()) };
    let bad = |message: String| {
        Diagnostic::error("cli/args", format!("`--args` must be a mapping in YAML: {message}")).help("write `--args '{name: value}'`")
    };
    match serde_yaml_ng::from_str::<Json>(text).map_err(|e| bad(e.to_string()))? {
        Json::Object(map) => Ok(map.into_iter().collect()),
        Json::Null => Ok(IndexMap::new()),
        other => Err(bad(format!("it is `{other}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn arguments_are_a_mapping() {
        assert_eq!(arguments(Some("{a: 1, b: x}")).expect("a mapping").len(), 2);
        assert!(arguments(Some("")).expect("nothing").is_empty());
        assert!(arguments(Some("[1]")).is_err());
    }
}
