//! `pull`: samples of a Snowflake target's sources, kept in its local warehouse for `--local`.

use std::sync::Arc;

use crate::{
    cli::{
        args::PullArgs,
        config::Config,
        crossing,
        message::{self, Failure},
        stdout::print,
        workspace::{self, Workspace},
    },
    diagnostic::{Diagnostic, Place},
    engine::Engine,
    names::ResourceType,
};

pub(super) fn run(args: &PullArgs, config: &Config) -> Result<i32, Failure> {
    let project = workspace::load("pull", &[], config)?;
    if project.profile.type_ != "snowflake" {
        let message = format!("the target `{}` is not a Snowflake one: there is nothing to pull from", project.profile.target_name);
        let fault = Diagnostic::error("cli/no-snowflake", message).at(project.profile.place.clone(), "this target");
        return Err(fault.help("`--target` names another one").into());
    }
    let selection = workspace::chosen(&project, &args.selecting, config)?;
    let engine = crossing::open(&project)?;
    let shared: Arc<dyn Engine> = Arc::new(engine.clone());
    let workspace = Workspace::over(Arc::clone(&project), shared)?;
    let chosen: Vec<_> = project
        .graph
        .nodes()
        .filter(|n| selection.nodes.contains(&n.id))
        .filter(|n| args.selecting.select.is_empty() && n.kind == ResourceType::Source || !args.selecting.select.is_empty())
        .filter(|n| {
            n.relation.is_some()
                && matches!(n.kind, ResourceType::Source | ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot)
        })
        .collect();
    if chosen.is_empty() {
        return Err(Diagnostic::error("cli/nothing-to-pull", "no source is selected")
            .help("`segue ls --resource-type source` lists them")
            .into());
    }
    for node in chosen {
        let Some(relation) = &node.relation else { continue };
        let pulled = workspace.runtime.block_on(engine.pull(relation, args.condition.as_deref(), args.limit, args.force));
        match pulled {
            Ok(Some(transfer)) => print(&format!("{}: {} rows, {} bytes", node.name, transfer.rows, transfer.bytes)),
            Ok(None) => print(&format!("{}: here already (--force pulls it again)", node.name)),
            Err(e) => {
                let at = node.patch.clone().unwrap_or_else(|| Place::start_of(&node.file));
                return Err(message::of_engine(e).at(at, "pulled from here").into());
            }
        }
    }
    Ok(0)
}
