//! A project in a folder of its own, and the real binary run in it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// `dbt_project.yml` and `profiles.yml` of every sandbox that does not bring its own.
const BASE: [(&str, &str); 2] = [
    ("dbt_project.yml", "name: shop\nversion: '1.0'\nprofile: shop\n"),
    (
        "profiles.yml",
        "shop:\n  target: dev\n  outputs:\n    dev: {type: datafusion, path: warehouse, database: SHOP, schema: DEV, threads: 2}\n    \
         odd: {type: datafusion, path: dbt_project.yml/below, database: SHOP, schema: DEV}\n",
    ),
];

pub struct Sandbox {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What a finished process left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Sandbox {
    /// Files in one text: `-- file: models/a.sql` starts each.
    pub fn new(files: &str) -> Self {
        let sandbox = Self::empty();
        for (path, text) in BASE {
            sandbox.write(path, text);
        }
        let mut current: Option<(&str, String)> = None;
        for line in files.split_inclusive('\n') {
            match line.trim_end().strip_prefix("-- file: ") {
                Some(path) => {
                    if let Some((path, text)) = current.replace((path, String::new())) {
                        sandbox.write(path, &text);
                    }
                }
                None => {
                    if let Some((_, text)) = &mut current {
                        text.push_str(line);
                    }
                }
            }
        }
        if let Some((path, text)) = current {
            sandbox.write(path, &text);
        }
        sandbox
    }

    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), env: vec![] }
    }

    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("below the sandbox")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The binary, not started. The environment of whoever runs the tests does not reach it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
        command.args(args).current_dir(self.path()).env_clear().env("HOME", self.path().join("home")).env("NO_COLOR", "1");
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut process =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        // one that does not read its input is no fault
        let _ = process.stdin.take().expect("piped").write_all(input.as_bytes());
        let done = process.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
    }

    /// Rows of the last statement.
    pub fn rows(&self, sql: &str) -> Value {
        let ran = self.run(&["sql", "--output", "json", sql]).expect_code(0);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    }

    /// `unique_id` (its last part) and status of the last invocation, sorted.
    pub fn results(&self) -> Vec<(String, String)> {
        let results = self.json("target/run_results.json");
        let mut all: Vec<(String, String)> = results["results"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|r| {
                let id = r["unique_id"].as_str().expect("an id");
                (id.split('.').nth(2).unwrap_or(id).to_owned(), r["status"].as_str().expect("a status").to_owned())
            })
            .collect();
        all.sort();
        all
    }

    pub fn project_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = walkdir::WalkDir::new(self.path())
            .into_iter()
            .filter_map(Result::ok)
            .filter(|e| e.file_type().is_file())
            .map(|e| e.path().strip_prefix(self.path()).expect("below").to_owned())
            .collect();
        files.sort();
        files
    }
}

impl Ran {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Each text is somewhere in what was written.
    #[track_caller]
    pub fn expect_all(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.out.contains(text) || self.err.contains(text),
                "no `{text}`\nstandard output:\n{}\nstandard error:\n{}",
                self.out,
                self.err
            );
        }
        self
    }
}
