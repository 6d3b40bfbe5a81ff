//! A request as data: what to ask of whom, and what of it may be shown.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986 unreserved characters stay readable.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Clone)]
struct Pair {
    name: String,
    value: String,
    secret: bool,
}

/// Built by adapters, sent by [`super::Client`]. Has no `Debug`: parts of it are secret.
#[derive(Clone)]
pub struct Request {
    who: String,
    method: reqwest::Method,
    url: String,
    query: Vec<Pair>,
    form: Vec<Pair>,
    headers: Vec<Pair>,
    accepted: Vec<u16>,
    repeatable: bool,
}

impl Request {
    /// `who` names the provider in messages.
    pub fn get(who: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            method: reqwest::Method::GET,
            url: url.into(),
            query: vec![],
            form: vec![],
            headers: vec![],
            accepted: vec![],
            repeatable: true,
        }
    }

    /// Not sent again after it left, unless it is [`Request::repeatable`].
    pub fn post(who: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: reqwest::Method::POST, repeatable: false, ..Self::get(who, url) }
    }

    /// A POST that only reads: sending it twice does no harm.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub fn query(self, name: &str, value: impl Into<String>) -> Self {
        self.pair(name, value, false, |r| &mut r.query)
    }

    /// Never shown in messages, logs or the raw table.
    pub fn secret_query(self, name: &str, value: impl Into<String>) -> Self {
        self.pair(name, value, true, |r| &mut r.query)
    }

    pub fn form(self, name: &str, value: impl Into<String>) -> Self {
        self.pair(name, value, false, |r| &mut r.form)
    }

    pub fn header(self, name: &str, value: impl Into<String>) -> Self {
        self.pair(name, value, false, |r| &mut r.headers)
    }

    pub fn secret_header(self, name: &str, value: impl Into<String>) -> Self {
        self.pair(name, value, true, |r| &mut r.headers)
    }

    /// A status besides 2xx that is an answer, not a failure.
    pub fn accept(mut self, status: u16) -> Self {
        self.accepted.push(status);
        self
    }

    fn pair(mut self, name: &str, value: impl Into<String>, secret: bool, of: fn(&mut Self) -> &mut Vec<Pair>) -> Self {
        of(&mut self).push(Pair { name: name.to_owned(), value: value.into(), secret });
        self
    }

    pub fn who(&self) -> &str {
        &self.who
    }

    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    pub fn is_accepted(&self, status: u16) -> bool {
        (200..300).contains(&status) || self.accepted.contains(&status)
    }

    /// The URL with its query, secrets as `***`.
    pub fn shown_url(&self) -> String {
        self.with_query(|pair| if pair.secret { "***".to_owned() } else { encode(&pair.value) })
    }

    /// `GET https://...`
    pub fn shown(&self) -> String {
        format!("{} {}", self.method, self.shown_url())
    }

    /// A text that came back, without the secrets that a server may have echoed.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.query.iter().chain(&self.form).chain(&self.headers).filter(|p| p.secret && !p.value.is_empty());
        secrets.fold(text.to_owned(), |text, pair| text.replace(&pair.value, "***"))
    }

    fn with_query(&self, value: impl Fn(&Pair) -> String) -> String {
        let query: Vec<String> = self.query.iter().map(|p| format!("{}={}", encode(&p.name), value(p))).collect();
        match (query.is_empty(), self.url.contains('?')) {
            (true, _) => self.url.clone(),
            (false, false) => format!("{}?{}", self.url, query.join("&")),
            (false, true) => format!("{}&{}", self.url, query.join("&")),
        }
    }

    /// The full URL, or why it is none.
    pub(super) fn url(&self) -> Result<url::Url, String> {
        let url = url::Url::parse(&self.with_query(|pair| encode(&pair.value))).map_err(|e| e.to_string())?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(_)) => Ok(url),
            _ => Err("only http and https are spoken".into()),
        }
    }

    pub(super) fn build(&self, client: &reqwest::Client, url: url::Url) -> reqwest::RequestBuilder {
        let mut builder = client.request(self.method.clone(), url);
        for header in &self.headers {
            builder = builder.header(&header.name, &header.value);
        }
        if !self.form.is_empty() {
            let body: Vec<String> = self.form.iter().map(|p| format!("{}={}", encode(&p.name), encode(&p.value))).collect();
            builder = builder.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        }
        builder
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let request = Request::get("melon", "http://h/x").query("a b", "태").secret_query("cpKey", "s3c&ret").secret_header("X", "tok");
        assert_eq!(request.shown(), "GET http://h/x?a%20b=%ED%83%9C&cpKey=***");
        assert_eq!(request.url().map(|u| u.to_string()), Ok("http://h/x?a%20b=%ED%83%9C&cpKey=s3c%26ret".into()));
        assert_eq!(request.mask("key s3c&ret, tok"), "key ***, ***");
        assert!(Request::get("x", "ftp://h/").url().is_err());
        assert!(Request::get("x", "nowhere").url().is_err());
    }
}
