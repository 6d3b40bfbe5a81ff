//! Which relations a template's SQL reads, under which names, and what its CTEs give: enough to offer columns while a text is
//! half-written. What the planner knows is better where a text is whole; nothing here decides whether a text is right.

use std::ops::Range;

use super::{
    lexer::{Kind, Token, tokens},
    snapshot::{Known, Snapshot},
};
use crate::project::reference::Call;

/// What a name in FROM stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Node(Call),
    /// A CTE, or a table by its name.
    Named(String),
    /// A subquery: its tokens.
    Query(Range<usize>),
}

#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) alias: Option<String>,
    pub(super) target: Target,
    /// The parentheses around it, as tokens.
    group: Range<usize>,
}

impl Relation {
    /// Whether `name.column` means a column of this one.
    fn is_called(&self, name: &str) -> bool {
        let own = match &self.target {
            Target::Node(Call::Ref { name, .. }) | Target::Named(name) => Some(name.as_str()),
            Target::Node(Call::Source { table, .. }) => Some(table.as_str()),
            Target::Query(_) => None,
        };
        self.alias.as_deref().or(own).is_some_and(|n| n.eq_ignore_ascii_case(name))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: String,
    /// The name in the text.
    pub(super) place: Range<usize>,
    pub(super) columns: Vec<String>,
    /// Tokens between its parentheses.
    body: Range<usize>,
}

/// The names of one text.
pub(super) struct Scope<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    pub(super) relations: Vec<Relation>,
    pub(super) ctes: Vec<Cte>,
}

/// Words that may follow a relation without being its alias.
const AFTER: [&str; 36] = [
    "where",
    "on",
    "using",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "group",
    "order",
    "having",
    "qualify",
    "limit",
    "union",
    "intersect",
    "except",
    "minus",
    "lateral",
    "window",
    "sample",
    "tablesample",
    "pivot",
    "unpivot",
    "at",
    "before",
    "fetch",
    "offset",
    "select",
    "set",
    "when",
    "match_recognize",
    "asof",
    "changes",
    "outer",
];

/// Deep enough for CTEs on CTEs; a name that leads back to itself ends here.
const DEPTH: usize = 24;

impl<'a> Scope<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let tokens: Vec<Token> =
            tokens(text).into_iter().filter(|t| !matches!(t.kind, Kind::Comment | Kind::Remark | Kind::Statement)).collect();
        let mut scope = Self { text, tokens, relations: vec![], ctes: vec![] };
        scope.find_ctes();
        scope.find_relations();
        scope
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.token(at).is_some_and(|t| t.is(self.text, word))
    }

    fn symbol(&self, at: usize) -> Option<char> {
        self.token(at)?.symbol(self.text)
    }

    fn name(&self, at: usize) -> Option<String> {
        let token = self.token(at)?;
        match token.kind {
            Kind::Word => Some(token.text(self.text).to_owned()),
            Kind::Quoted => Some(token.text(self.text).trim_matches('"').to_owned()),
            _ => None,
        }
    }

    /// The token of the parenthesis that closes the one at `open`; the end where none does.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for at in open..self.tokens.len() {
            match self.symbol(at) {
                Some('(') => depth += 1,
                Some(')') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    fn find_ctes(&mut self) {
        for at in 0..self.tokens.len() {
            let Some(name) = self.name(at) else { continue };
            let before = at.checked_sub(1);
            let opens = before.is_some_and(|b| self.is(b, "with") || self.is(b, "recursive") || self.symbol(b) == Some(','));
            if !opens {
                continue;
            }
            let (mut next, mut columns) = (at + 1, vec![]);
            if self.symbol(next) == Some('(') {
                let close = self.closing(next);
                columns = (next + 1..close).filter_map(|i| self.name(i)).collect();
                next = close + 1;
            }
            if self.is(next, "as") && self.symbol(next + 1) == Some('(') {
                let body = next + 2..self.closing(next + 1);
                self.ctes.push(Cte { name, place: self.tokens[at].range.clone(), columns, body });
            }
        }
    }

    fn find_relations(&mut self) {
        let mut open: Vec<usize> = vec![];
        let mut at = 0;
        while at < self.tokens.len() {
            match self.symbol(at) {
                Some('(') => open.push(at),
                Some(')') => drop(open.pop()),
                _ => {}
            }
            if self.is(at, "from") || self.is(at, "join") {
                let group = open.last().map_or(0..self.tokens.len(), |o| *o + 1..self.closing(*o));
                let mut next = at + 1;
                while let Some(after) = self.relation(next, &group) {
                    next = after;
                    if self.symbol(next) != Some(',') || self.is(next + 1, "lateral") || self.is(next + 1, "table") {
                        break;
                    }
                    next += 1;
                }
            }
            at += 1;
        }
    }

    /// Reads one relation; where the tokens go on behind it.
    fn relation(&mut self, at: usize, group: &Range<usize>) -> Option<usize> {
        let token = self.token(at)?;
        let (target, mut next) = match token.kind {
            Kind::Expression => (Target::Node(call(token.text(self.text))?), at + 1),
            Kind::Symbol if self.symbol(at) == Some('(') => {
                let close = self.closing(at);
                (Target::Query(at + 1..close), close + 1)
            }
            Kind::Word | Kind::Quoted if !AFTER.iter().any(|w| token.is(self.text, w)) => {
                let (mut name, mut next) = (self.name(at)?, at + 1);
                while self.symbol(next) == Some('.') {
                    name = self.name(next + 1)?;
                    next += 2;
                }
                // a table function gives nobody knows what
                if self.symbol(next) == Some('(') {
                    return None;
                }
                (Target::Named(name), next)
            }
            _ => return None,
        };
        if self.is(next, "as") {
            next += 1;
        }
        let alias = match self.token(next) {
            Some(t) if t.kind == Kind::Quoted || t.kind == Kind::Word && !AFTER.iter().any(|w| t.is(self.text, w)) => self.name(next),
            _ => None,
        };
        if alias.is_some() {
            next += 1;
        }
        self.relations.push(Relation { alias, target, group: group.clone() });
        Some(next)
    }

    /// The relations that a name at `offset` may be a column of: those of the innermost query around it that has any.
    pub(super) fn around(&self, offset: usize) -> Vec<&Relation> {
        let at = self.tokens.partition_point(|t| t.range.end <= offset);
        let holds = |r: &&Relation| r.group.start <= at && at <= r.group.end;
        let Some(innermost) = self.relations.iter().filter(holds).map(|r| r.group.len()).min() else {
            return self.relations.iter().collect();
        };
        self.relations.iter().filter(|r| holds(r) && r.group.len() == innermost).collect()
    }

    /// The columns of `qualifier.`, or of all relations around.
    pub(super) fn columns(&self, offset: usize, qualifier: Option<&str>, snapshot: &Snapshot) -> Vec<Known> {
        let around = self.around(offset);
        let Some(qualifier) = qualifier else {
            return unique(around.into_iter().flat_map(|r| self.columns_of(&r.target, snapshot, DEPTH)));
        };
        // the query around first; an outer one's names hold within as well
        let named = around.into_iter().chain(&self.relations).find(|r| r.is_called(qualifier));
        named.map(|r| self.columns_of(&r.target, snapshot, DEPTH)).unwrap_or_default()
    }

    /// What a CTE or an alias stands for, for a look at it.
    pub(super) fn named(&self, name: &str, snapshot: &Snapshot) -> Option<Vec<Known>> {
        if let Some(cte) = self.ctes.iter().find(|c| c.name.eq_ignore_ascii_case(name)) {
            return Some(self.cte_columns(cte, snapshot, DEPTH));
        }
        let relation = self.relations.iter().find(|r| r.is_called(name))?;
        Some(self.columns_of(&relation.target, snapshot, DEPTH))
    }

    fn columns_of(&self, target: &Target, snapshot: &Snapshot, depth: usize) -> Vec<Known> {
        let Some(depth) = depth.checked_sub(1) else { return vec![] };
        match target {
            Target::Node(call) => snapshot.called(call).map(|node| snapshot.columns(node)).unwrap_or_default(),
            Target::Query(range) => self.projection(range, snapshot, depth),
            Target::Named(name) => match self.ctes.iter().find(|c| c.name.eq_ignore_ascii_case(name)) {
                Some(cte) => self.cte_columns(cte, snapshot, depth),
                None => snapshot.table(name).map(|node| snapshot.columns(node)).unwrap_or_default(),
            },
        }
    }

    fn cte_columns(&self, cte: &Cte, snapshot: &Snapshot, depth: usize) -> Vec<Known> {
        let mut columns = self.projection(&cte.body, snapshot, depth);
        if !cte.columns.is_empty() {
            let renamed = |(i, name): (usize, &String)| columns.get(i).cloned().unwrap_or_default().renamed(name.clone());
            columns = cte.columns.iter().enumerate().map(renamed).collect();
        }
        columns
    }

    /// The columns that the query in these tokens gives.
    fn projection(&self, range: &Range<usize>, snapshot: &Snapshot, depth: usize) -> Vec<Known> {
        // a query of its own CTEs gives what stands behind them
        let mut start = None;
        let mut at = range.start;
        while at < range.end {
            if self.symbol(at) == Some('(') {
                at = self.closing(at) + 1;
                continue;
            }
            if self.is(at, "select") {
                start = Some(at + 1);
                break;
            }
            at += 1;
        }
        let Some(mut start) = start else { return vec![] };
        if self.is(start, "distinct") || self.is(start, "all") {
            start += 1;
        }
        let mut items: Vec<Range<usize>> = vec![];
        let (mut item, mut at) = (start, start);
        while at < range.end && !self.is(at, "from") {
            match self.symbol(at) {
                Some('(') => {
                    at = self.closing(at) + 1;
                    continue;
                }
                Some(',') => {
                    items.push(item..at);
                    item = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        items.push(item..at.min(range.end));
        let own: Vec<&Relation> = self.relations.iter().filter(|r| r.group == *range).collect();
        let of = |qualifier: Option<&str>| -> Vec<Known> {
            let meant = own.iter().filter(|r| qualifier.is_none_or(|q| r.is_called(q)));
            meant.flat_map(|r| self.columns_of(&r.target, snapshot, depth)).collect()
        };
        let mut columns = vec![];
        for item in items {
            let Some(last) = item.end.checked_sub(1).filter(|last| *last >= item.start) else { continue };
            let qualifier = |name: usize| {
                let dot = name.checked_sub(1).filter(|d| *d > item.start && self.symbol(*d) == Some('.'))?;
                self.name(dot - 1)
            };
            if let Some(star) = (item.start..item.end).find(|i| self.symbol(*i) == Some('*')) {
                if star == item.start || self.symbol(star - 1) == Some('.') {
                    columns.extend(of(qualifier(star).as_deref()));
                    continue;
                }
            }
            let Some(name) = self.name(last) else { continue };
            // a column as it is keeps what is known of it
            let first = if item.len() > 1 && self.is(last.saturating_sub(1), "as") { last.saturating_sub(2) } else { last };
            let plain = match qualifier(first) {
                Some(_) => first == item.start + 2,
                None => first == item.start,
            };
            let source = plain.then(|| self.name(first)).flatten();
            let known = source.and_then(|source| of(qualifier(first).as_deref()).into_iter().find(|k| k.is_called(&source)));
            columns.push(known.unwrap_or_default().renamed(name));
        }
        columns
    }
}

/// `{{ ref('a') }}` as a whole.
fn call(block: &str) -> Option<Call> {
    let inner = block.trim_start_matches("{{").trim_end_matches("}}").trim_matches('-').trim();
    Call::parse(inner)
}

fn unique(all: impl Iterator<Item = Known>) -> Vec<Known> {
    let mut seen = std::collections::HashSet::new();
    all.filter(|k| seen.insert(k.name.to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(marked: &str, qualifier: Option<&str>) -> Vec<String> {
        let offset = marked.find('|').expect("a cursor");
        let text = marked.replacen('|', "", 1);
        let columns = Scope::of(&text).columns(offset, qualifier, &Snapshot::default());
        columns.into_iter().map(|k| k.name).collect()
    }

    #[test]
    fn ctes_and_subqueries_give_their_columns() {
        for (text, qualifier, expect) in [
            ("with a as (select x, f(y) as z, t.w from t) select | from a", None, vec!["x", "z", "w"]),
            ("with a as (select 1 as x), b as (select *, 2 as y from a) select | from b", None, vec!["x", "y"]),
            ("with a (p, q) as (select 1, 2) select | from a", None, vec!["p", "q"]),
            ("with a as (select 1 as x), b as (select 2 as y) select b.| from a join b on a.x = b.y", Some("b"), vec!["y"]),
            ("select | from (select 1 as \"X y\", 2 as k) s", None, vec!["X y", "k"]),
            ("with a as (select 1 as x), b as (select | from a) select * from b", None, vec!["x"]),
            ("with a as (select * from a) select | from a", None, vec![]),
            ("with a as (select count(distinct b) from t", None, vec![]),
            ("select |", None, vec![]),
        ] {
            if text.contains('|') {
                assert_eq!(names(text, qualifier), expect, "{text}");
            }
        }
    }

    #[test]
    fn relations_are_found_with_their_names() {
        let text = "select 1 from {{ ref('a') }} as x, {{ source('r', 't') }} join db.s.tab y on 1 = 1, lateral flatten(input => x.c) f";
        let scope = Scope::of(text);
        let all: Vec<_> = scope.relations.iter().map(|r| (r.alias.as_deref(), r.target.clone())).collect();
        assert_eq!(
            all,
            [
                (Some("x"), Target::Node(Call::Ref { package: None, name: "a".into() })),
                (None, Target::Node(Call::Source { source: "r".into(), table: "t".into() })),
                (Some("y"), Target::Named("tab".into())),
            ]
        );
    }
}
