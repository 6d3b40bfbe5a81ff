//! Diagnostics as text: header, source excerpt with carets, notes, help.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Place, Severity};

/// Whether escape sequences for colour may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

/// The whole message, several lines, without a line break at its end.
pub fn render(diagnostic: &Diagnostic, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code));
    if let Some(place) = &diagnostic.place {
        group = group.element(snippet(place, &diagnostic.label, AnnotationKind::Primary));
    }
    for (place, label) in &diagnostic.related {
        group = group.element(snippet(place, label, AnnotationKind::Context));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.render(&[group]).to_string()
}

fn snippet<'a>(place: &'a Place, label: &'a str, kind: AnnotationKind) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = place.file.text.as_str();
    let start = floor(text, place.range.start);
    // an excerpt shows where the fault begins; a range over many lines would bury that
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let end = floor(text, place.range.end).clamp(start, line_end.max(start));
    let mut annotation = kind.span(start..end);
    if !label.is_empty() {
        annotation = annotation.label(label);
    }
    Snippet::source(text).line_start(1).path(place.file.path.to_string_lossy()).annotation(annotation)
}

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    #[test]
    fn an_excerpt_points_at_the_fault() {
        let file = SourceFile::new("models/a.sql", "select *\nfrom {{ ref('stg_chart') }} c\n");
        let start = file.text.find("'stg").expect("there");
        let d = Diagnostic::error("graph/unknown-ref", "no model or seed is named `stg_chart`")
            .at(Place::new(&file, start..start + 11), "referenced here")
            .help("a model named `stg_charts` exists in models/staging");
        insta::assert_snapshot!(render(&d, Style::Plain));
    }
}
