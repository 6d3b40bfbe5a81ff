//! `profiles.yml`: which warehouse a target is, and how to reach it.
//!
//! Looked for where dbt looks: an explicit `--profiles-dir` (or `DBT_PROFILES_DIR`), the project folder, `~/.dbt`.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::{
    files::Files,
    yaml::{self, At, Fields, Value, Yaml},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    names::nearest,
};

/// The chosen output of the chosen profile, templates rendered.
#[derive(Clone)]
pub struct Profile {
    pub name: String,
    pub target_name: String,
    /// `datafusion` or `snowflake`: `target.type` in templates.
    pub type_: String,
    pub database: String,
    pub schema: String,
    pub threads: usize,
    /// Every key of the output, `type` included, as written. Holds secrets: never print it.
    pub settings: IndexMap<String, Json>,
    /// Bytes; `None` means the engine's default.
    pub memory_limit: Option<u64>,
    /// The output in the file.
    pub place: Place,
}

/// Settings whose values never appear anywhere.
const SECRETS: [&str; 12] = [
    "password",
    "pass",
    "private_key",
    "private_key_passphrase",
    "token",
    "oauth_client_secret",
    "secret_access_key",
    "session_token",
    "client_secret",
    "refresh_token",
    "proxy_password",
    "access_token",
];

/// What a Snowflake target may say: dbt's keys, and those that only segue has (`statement_timeout`, `state_schema`...).
const SNOWFLAKE_KEYS: [&str; 46] = [
    "user",
    "password",
    "authenticator",
    "private_key",
    "private_key_path",
    "private_key_passphrase",
    "token",
    "oauth_client_id",
    "oauth_client_secret",
    "token_request_url",
    "refresh_token",
    "role",
    "warehouse",
    "host",
    "port",
    "protocol",
    "region",
    "proxy_host",
    "proxy_port",
    "proxy_user",
    "proxy_password",
    "query_tag",
    "session_parameters",
    "client_session_keep_alive",
    "connect_retries",
    "connect_timeout",
    "login_timeout",
    "network_timeout",
    "statement_timeout",
    "retry_on_database_errors",
    "retry_all",
    "insecure_mode",
    "platform_detection_timeout_seconds",
    "reuse_connections",
    "s3_stage_vpce_dns_name",
    "state_schema",
    "path",
    "region_name",
    "endpoint",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "allow_http",
    "spill_path",
    "options",
    "target_partitions",
];

const TYPES: [&str; 2] = ["datafusion", "snowflake"];

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("name", &self.name)
            .field("target_name", &self.target_name)
            .field("type", &self.type_)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// `target` as templates see it: no secrets.
    pub fn target(&self) -> Map<String, Json> {
        let mut target: Map<String, Json> =
            self.settings.iter().filter(|(k, _)| !SECRETS.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (key, value) in [
            ("name", Json::from(self.target_name.as_str())),
            ("target_name", Json::from(self.target_name.as_str())),
            ("profile_name", Json::from(self.name.as_str())),
            ("type", Json::from(self.type_.as_str())),
            ("database", Json::from(self.database.as_str())),
            ("dbname", Json::from(self.database.as_str())),
            ("schema", Json::from(self.schema.as_str())),
            ("threads", Json::from(self.threads)),
        ] {
            target.insert(key.into(), value);
        }
        target
    }

    /// Root of the local warehouse: a URL, or a path relative to the project.
    pub fn warehouse_root(&self) -> &str {
        self.settings.get("path").and_then(Json::as_str).unwrap_or("warehouse")
    }
}

/// Where to look and what to take.
#[derive(Debug)]
pub struct ProfileSearch<'a> {
    pub files: &'a Files,
    pub project_dir: &'a Path,
    pub profiles_dir: Option<&'a Path>,
    pub home: Option<&'a Path>,
    /// From the command line, else from `dbt_project.yml` with its place.
    pub name: Option<&'a str>,
    pub named_at: Option<Place>,
    pub target: Option<&'a str>,
    pub threads: Option<usize>,
}

/// Renders one text of the file.
pub type RenderText<'a> = &'a dyn Fn(&str, &Place) -> Result<Json, Diagnostics>;

impl ProfileSearch<'_> {
    /// All folders that are looked in, the first with a file wins.
    fn folders(&self) -> Vec<PathBuf> {
        match self.profiles_dir {
            Some(folder) => vec![folder.to_owned()],
            None => [Some(self.project_dir.to_owned()), self.home.map(|h| h.join(".dbt"))].into_iter().flatten().collect(),
        }
    }

    pub fn load(&self, render: RenderText<'_>, faults: &mut Diagnostics) -> Option<Profile> {
        let Some(folder) = self.folders().into_iter().find(|f| self.files.is_file(&f.join("profiles.yml"))) else {
            let looked: Vec<String> = self.folders().iter().map(|f| format!("`{}`", f.display())).collect();
            faults.push(
                Diagnostic::error("project/no-profiles", "there is no `profiles.yml`")
                    .note(format!("looked in {}", looked.join(", ")))
                    .help("`segue init` writes one; `--profiles-dir` names another folder"),
            );
            return None;
        };
        let path = folder.join("profiles.yml");
        let text = match self.files.read(&path) {
            Ok(text) => text,
            Err(error) => {
                faults.push(Diagnostic::error("project/unreadable", format!("cannot read `{}`: {error}", path.display())));
                return None;
            }
        };
        let shown = path.strip_prefix(self.project_dir).unwrap_or(&path);
        let file = SourceFile::new(shown, text);
        match yaml::parse(&file) {
            Ok(yaml) => self.choose(&file, yaml, render, faults),
            Err(more) => {
                faults.extend(more);
                None
            }
        }
    }

    fn choose(&self, file: &Arc<SourceFile>, yaml: Yaml, render: RenderText<'_>, faults: &mut Diagnostics) -> Option<Profile> {
        let root = At { file, yaml: &yaml };
        let mut names: Vec<&str> = root.entries().iter().map(|e| e.key.as_str()).filter(|k| *k != "config").collect();
        let name = match self.name {
            Some(name) => name,
            None if names.len() == 1 => names.remove(0),
            None => {
                let fault = Diagnostic::error("project/no-profile", "`dbt_project.yml` names no profile");
                faults.push(fault.help(format!("add `profile:` or pass `--profile`; {}", listing("profiles", &names))));
                return None;
            }
        };
        let Some(profile) = root.get(name) else {
            let place = self.named_at.clone().unwrap_or_else(|| Place::start_of(file));
            let fault = Diagnostic::error("project/unknown-profile", format!("`{}` has no profile `{name}`", file.path().display()));
            faults.push(fault.at(place, "named here").help(did_you_mean(name, "profiles", &names)));
            return None;
        };
        let mut fields = Fields::of(profile, "a profile", faults)?;
        let default = fields.take("target");
        let outputs = fields.map_at("outputs");
        fields.finish();
        let Some(outputs) = outputs else {
            let fault = Diagnostic::error("project/no-target", format!("the profile `{name}` has no `outputs`"));
            faults.push(fault.at(profile.place(), "this profile"));
            return None;
        };
        let targets: Vec<&str> = outputs.entries().iter().map(|e| e.key.as_str()).collect();
        let (target, place) = match (self.target, default) {
            (Some(target), _) => (target.to_owned(), outputs.place()),
            (None, Some(at)) => {
                (rendered(at.yaml.clone(), file, render, faults).to_json().as_str().unwrap_or_default().to_owned(), at.place())
            }
            // dbt's name for the output when the profile does not say
            (None, None) => ("default".into(), outputs.place()),
        };
        let Some(output) = outputs.get(&target) else {
            let fault = Diagnostic::error("project/unknown-target", format!("the profile `{name}` has no target `{target}`"));
            faults.push(fault.at(place, "among these outputs").help(did_you_mean(&target, "targets", &targets)));
            return None;
        };
        let place = output.place();
        let output = rendered(output.yaml.clone(), file, render, faults);
        self.output(name, &target, At { file, yaml: &output }, place, faults)
    }

    fn output(&self, name: &str, target: &str, at: At<'_>, place: Place, faults: &mut Diagnostics) -> Option<Profile> {
        let mut fields = Fields::of(at, "a target", faults)?;
        let type_ = fields.required("type")?;
        if !TYPES.contains(&type_.as_str()) {
            let at = at.get("type").map_or(place, At::place);
            let fault = Diagnostic::error("project/unknown-type", format!("there is no engine of type `{type_}`")).at(at, "in this target");
            fields.faults.push(fault.help(did_you_mean(&type_, "types", &TYPES)));
            return None;
        }
        let snowflake = type_ == "snowflake";
        let (database, schema) = (fields.required("database"), fields.required("schema"));
        let threads = self.threads.or(fields.integer("threads").map(|n| n as usize));
        if threads == Some(0) {
            fields.faults.push(Diagnostic::error("project/wrong-type", "`threads` must be at least 1").at(place.clone(), "in this target"));
        }
        let memory_limit = fields.string("memory_limit").and_then(|text| {
            let bytes = bytes(&text);
            if bytes.is_none() {
                let at = at.get("memory_limit").map_or(place.clone(), At::place);
                let fault = Diagnostic::error("project/wrong-type", format!("`{text}` is not an amount of memory"));
                fields.faults.push(fault.at(at, "a number with a unit").help("write it as `4GB` or `512MB`"));
            }
            bytes
        });
        if snowflake {
            fields.required("account");
            fields.accept(&SNOWFLAKE_KEYS);
            fields.finish();
        } else {
            fields.accept(&[
                "path",
                "region",
                "endpoint",
                "access_key_id",
                "secret_access_key",
                "session_token",
                "allow_http",
                "spill_path",
                "options",
                "target_partitions",
            ]);
            fields.finish();
        }
        Some(Profile {
            name: name.to_owned(),
            target_name: target.to_owned(),
            type_,
            database: database?,
            schema: schema?,
            threads: threads.unwrap_or(4).max(1),
            settings: at.entries().iter().map(|e| (e.key.clone(), e.value.to_json())).collect(),
            memory_limit,
            place,
        })
    }
}

fn rendered(mut yaml: Yaml, file: &Arc<SourceFile>, render: RenderText<'_>, faults: &mut Diagnostics) -> Yaml {
    yaml.render(&[], &mut |text, range| match render(text, &Place::new(file, range)) {
        Ok(json) => Some(json),
        Err(more) => {
            faults.extend(more);
            None
        }
    });
    // a rendered empty text stands for nothing, e.g. an unset password
    if let Value::Map(entries) = &mut yaml.value {
        entries.retain(|e| e.value.value != Value::Null);
    }
    yaml
}

fn listing(what: &str, names: &[&str]) -> String {
    if names.is_empty() { format!("there are no {what}") } else { format!("{what} are `{}`", names.join("`, `")) }
}

fn did_you_mean(name: &str, what: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {}", listing(what, names)),
        None => listing(what, names),
    }
}

/// `4GB`, `512 MiB`, `1000000`. Decimal units are taken as binary ones: a limit is a round number for a person.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let value = number * (1_u64 << unit) as f64;
    (value >= 1.0 && value < u64::MAX as f64).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/p";

    fn load(text: &str, name: Option<&str>, target: Option<&str>, profiles_dir: Option<&str>) -> String {
        let files = Files::from_text(Path::new(ROOT), text);
        let search = ProfileSearch {
            files: &files,
            project_dir: Path::new(ROOT),
            profiles_dir: profiles_dir.map(Path::new),
            home: Some(Path::new("/home/u")),
            name,
            named_at: None,
            target,
            threads: None,
        };
        let mut faults = Diagnostics::default();
        let render = |text: &str, _: &Place| Ok(Json::from(text.replace("{{ x }}", "rendered")));
        match search.load(&render, &mut faults) {
            Some(p) if faults.0.is_empty() => {
                format!("{} {} {} {} {} {} {:?}", p.name, p.target_name, p.type_, p.database, p.schema, p.threads, p.memory_limit)
            }
            _ => faults.0.iter().map(|d| format!("{}; {}", d.message, d.help.as_deref().unwrap_or(""))).collect::<Vec<_>>().join(" | "),
        }
    }

    #[test]
    fn targets_and_what_is_said_when_there_is_none() {
        const GOOD: &str = "-- file: profiles.yml\nshop:\n  target: dev\n  outputs:\n    dev: {type: datafusion, path: w, database: D, schema: '{{ x }}', memory_limit: 4GB}\n    prod: {type: snowflake, account: a, user: u, database: D, schema: S, threads: 8}\n    odd: {type: snowflak}\n";
        for (name, target, expect) in [
            (Some("shop"), None, "shop dev datafusion D rendered 4 Some(4294967296)"),
            (None, Some("prod"), "shop prod snowflake D S 8 None"),
            (Some("shopp"), None, "`profiles.yml` has no profile `shopp`; did you mean `shop`? profiles are `shop`"),
            (Some("shop"), Some("x"), "the profile `shop` has no target `x`; targets are `dev`, `prod`, `odd`"),
            (
                Some("shop"),
                Some("odd"),
                "there is no engine of type `snowflak`; did you mean `snowflake`? types are `datafusion`, `snowflake`",
            ),
        ] {
            assert_eq!(load(GOOD, name, target, None), expect);
        }
        let missing = load("-- file: x.yml\n", Some("shop"), None, None);
        assert_eq!(missing, "there is no `profiles.yml`; `segue init` writes one; `--profiles-dir` names another folder");
        let bad =
            "-- file: profiles.yml\ns:\n  target: t\n  outputs:\n    t: {type: datafusion, databse: D, schema: S, memory_limit: lots}\n";
        assert_eq!(
            load(bad, None, None, None),
            "a target has no `database`;  | `lots` is not an amount of memory; write it as `4GB` or `512MB` | a target has no key `databse`; did you mean `database`?"
        );
    }

    #[test]
    fn an_explicit_folder_wins_over_the_project_and_home_comes_last() {
        let file = |dir: &str, schema: &str| {
            format!("-- file: {dir}profiles.yml\np:\n  outputs:\n    default: {{type: datafusion, database: D, schema: {schema}}}\n")
        };
        let all = file("", "project") + &file("other/", "other") + &file("/home/u/.dbt/", "home");
        assert!(load(&all, None, None, None).contains(" project "));
        assert!(load(&all, None, None, Some("/p/other")).contains(" other "));
        assert!(load(&file("/home/u/.dbt/", "home"), None, None, None).contains(" home "));
    }
}
