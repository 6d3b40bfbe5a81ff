//! `promote`: makes what this target has built and tested what another target serves.

use super::nodes::{self, Extra};
use crate::{
    cli::{args::Running, config::Config, environment, message::Failure, stdout::print},
    diagnostic::Diagnostic,
    engine::RelationKind,
    plan::Verb,
    run::{Promotion, Switch, promote},
};

pub(super) fn run(running: &Running, to: Option<&str>, dry: bool, config: &Config) -> Result<i32, Failure> {
    let prepared = nodes::prepare(Verb::Build, running, Extra::default(), config)?;
    let project = &prepared.project;
    let own = &project.profile.target_name;
    let Some(target) = to.map(str::to_owned).or_else(|| environment::reused(project)) else {
        let fault =
            Diagnostic::error("cli/no-target", "nothing says which target to promote to").at(project.profile.place.clone(), "this target");
        return Err(fault.help("name it with `--to`, or set `reuse:` of the target in `profiles.yml`").into());
    };
    if target == *own {
        let message = format!("`{own}` cannot be promoted to itself");
        return Err(Diagnostic::error("cli/no-target", message).help("name the target that was built and tested with `--target`").into());
    }
    let twins = environment::of_target(project, &target, config)?;
    let done = prepared.workspace.runtime.block_on(promote(&prepared.plan, prepared.deps, prepared.options, &twins, dry));
    prepared.workspace.runtime.shutdown_background();
    print(&listing(&done?, &target, dry));
    Ok(0)
}

fn listing(promotions: &[Promotion], target: &str, dry: bool) -> String {
    let mut lines: Vec<String> = vec![];
    for p in promotions.iter().filter(|p| p.switch != Switch::Same) {
        let kind = if p.kind == RelationKind::View { "view" } else { "table" };
        let word = if p.switch == Switch::New { "new" } else { "replaced" };
        let rows = p.rows.map(|n| format!(", {n} rows")).unwrap_or_default();
        lines.push(format!("  {kind} {}  {word}, from {}{rows}", p.to, p.from));
    }
    let (switched, same) = (lines.len(), promotions.len() - lines.len());
    let many = |n: usize| if n == 1 { "1 relation".to_owned() } else { format!("{n} relations") };
    let done = if dry { "would be switched" } else { "switched" };
    lines.push(match (switched, same) {
        (0, 0) => "Nothing is selected that has another name there.".to_owned(),
        (0, _) => format!("`{target}` has all of it already."),
        (_, 0) => format!("{} of `{target}` {done}.", many(switched)),
        _ => format!("{} of `{target}` {done}; {same} the same already.", many(switched)),
    });
    lines.join("\n")
}
