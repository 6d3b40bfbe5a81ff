//! Cold loading of a project: `cargo bench --bench parse -- [models | folder]` prints wall time and what was loaded; a number
//! generates a project of that many models.
//!
//! The budget on the design page: 10,000 models with tests in less than a second on two cores.

use std::{error::Error, fmt::Write, fs, path::Path, time::Instant};

use segue::{
    diagnostic::{Style, render},
    project::{LoadOptions, load},
};

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_else(|| "10000".into());
    let temporary = tempfile::tempdir()?;
    let folder = match wanted.parse() {
        Ok(models) => {
            generate(temporary.path(), models)?;
            temporary.path()
        }
        Err(_) => Path::new(&wanted),
    };
    for round in 1..=3 {
        let started = Instant::now();
        match load(&LoadOptions::new(folder)) {
            Ok(project) => {
                let seconds = started.elapsed().as_secs_f64();
                println!("round {round}: {} nodes in {seconds:.3} s, {} warnings", project.graph.len(), project.warnings.0.len());
                project.warnings.0.iter().filter(|_| round == 1).for_each(|d| println!("{}", render(d, Style::Plain)));
            }
            Err(faults) => {
                faults.0.iter().for_each(|d| println!("{}", render(d, Style::Plain)));
                return Err(format!("{} faults", faults.0.len()).into());
            }
        }
    }
    Ok(())
}

/// Layers of a hundred models, each reading three of the layer before; one YAML file for each folder, two tests per model.
fn generate(root: &Path, models: usize) -> Result<(), Box<dyn Error>> {
    fs::write(
        root.join("dbt_project.yml"),
        "name: big\nprofile: big\nmodels:\n  big:\n    +materialized: view\n    l1: {+tags: [first]}\n",
    )?;
    fs::write(root.join("profiles.yml"), "big:\n  outputs:\n    default: {type: datafusion, database: d, schema: s}\n")?;
    for layer in 0..models.div_ceil(100) {
        let folder = root.join(format!("models/l{layer}"));
        fs::create_dir_all(&folder)?;
        let mut yaml = "models:\n".to_owned();
        for n in (layer * 100)..((layer + 1) * 100).min(models) {
            let parent = |k: usize| format!("{{{{ ref('m{}') }}}}", (layer - 1) * 100 + (n * 7 + k * 13) % 100);
            let from = if layer == 0 {
                "values (1, 2)".to_owned()
            } else {
                format!("{} a join {} b on a.id = b.id join {} c on b.id = c.id", parent(0), parent(1), parent(2))
            };
            let sql = format!(
                "{{{{ config(materialized='table') }}}}\n\nselect id, count(*) as amount\nfrom {from}\n{{% if is_incremental() %}}where id > (select max(id) from {{{{ this }}}}){{% endif %}}\ngroup by id\n"
            );
            fs::write(folder.join(format!("m{n}.sql")), sql)?;
            write!(
                yaml,
                "- name: m{n}\n  description: Model {n}\n  columns:\n  - name: id\n    description: The key\n    data_tests: [not_null, unique]\n  - name: amount\n    description: How many\n"
            )?;
        }
        fs::write(folder.join("schema.yml"), yaml)?;
    }
    Ok(())
}
