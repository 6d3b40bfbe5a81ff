//! `lsp`: answers an editor over standard input and output until it says that it is over.

use crate::{
    cli::{config::Config, message::Failure, typed::Typist, workspace::runtime},
    editor::{self, Load, Loaded, Options},
    project::LoadOptions,
};

pub(super) fn run(config: &Config) -> Result<i32, Failure> {
    let mut typist = Typist::new()?;
    let own = config.clone();
    let load: Load = Box::new(move |folder, files, cancelled| {
        let options = LoadOptions { files, project_dir: folder.to_owned(), ..own.load_options("lsp", &[]) };
        let typed = typist.load(&options, cancelled).map_err(|failure| failure.diagnostics)?;
        Ok(Loaded { project: typed.project, typing: typed.typing })
    });
    let here = std::env::current_dir().ok();
    let options = Options { folder: config.project_dir.clone(), is_named: here.is_none_or(|here| here != config.project_dir) };
    let runtime = runtime()?;
    let said_goodbye = runtime.block_on(editor::serve(load, options));
    // whatever waits for more input waits in vain
    runtime.shutdown_background();
    Ok(i32::from(!said_goodbye))
}
