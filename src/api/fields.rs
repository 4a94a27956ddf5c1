//! Reads the fields of a request and collects everything that is wrong with them.
//!
//! A rule takes a value and gives what it means, or what is allowed; a client gets all problems in
//! one answer, each under its field's name.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error::ApiError;

/// What a rule makes of a value: its meaning, or what is allowed.
pub(crate) type Ruled<T> = Result<T, String>;

/// The fields of one object, or the parameters of a query.
pub(crate) struct Fields {
    given: Map<String, Value>,
    known: Vec<&'static str>,
    prefix: &'static str,
    problems: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(given: Map<String, Value>) -> Self {
        Fields { given, known: Vec::new(), prefix: "", problems: Map::new() }
    }

    /// The parameters of a query; of several with one name the first counts.
    pub(crate) fn of_query(query: &str) -> Self {
        let mut given = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.entry(name).or_insert_with(|| Value::String(value.into_owned()));
        }
        Fields::of(given)
    }

    /// The fields of an object within this one, reported as `name.field`. `None` when it is absent
    /// or null.
    pub(crate) fn object(&mut self, name: &'static str, prefix: &'static str) -> Option<Fields> {
        match self.take(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(given)) => Some(Fields { prefix, ..Fields::of(given) }),
            Some(_) => {
                self.problem(name, "must be an object".to_owned());
                None
            }
        }
    }

    /// A field that must be there. `None` when it is not, or breaks its rule.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Value) -> Ruled<T>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Value::Null) => {
                self.problem(name, "is required".to_owned());
                None
            }
            Some(value) => self.ruled(name, rule(&value)),
        }
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Value) -> Ruled<T>,
    ) -> Option<T> {
        match self.take(name)? {
            Value::Null => None,
            value => self.ruled(name, rule(&value)),
        }
    }

    /// A field that may be absent, which leaves things as they are, or null, which clears them.
    pub(crate) fn clearable<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Value) -> Ruled<T>,
    ) -> Option<Option<T>> {
        match self.take(name)? {
            Value::Null => Some(None),
            value => self.ruled(name, rule(&value)).map(Some),
        }
    }

    pub(crate) fn problem(&mut self, name: &str, why: String) {
        let name = format!("{}{name}", self.prefix);
        self.problems.insert(name, Value::String(why));
    }

    /// The same, unless something is told of the field already.
    pub(crate) fn problem_unless_told(&mut self, name: &str, why: &str) {
        if !self.problems.contains_key(&format!("{}{name}", self.prefix)) {
            self.problem(name, why.to_owned());
        }
    }

    /// Reads those of these parameters of a query that are JSON; the others stay texts, which no
    /// rule of an object or list allows.
    pub(crate) fn read_json(&mut self, names: &[&str]) {
        for name in names {
            if let Some(value) = self.given.get_mut(*name)
                && let Some(Ok(read)) = value.as_str().map(serde_json::from_str)
            {
                *value = read;
            }
        }
    }

    /// Takes over what is wrong with the fields of an object within.
    pub(crate) fn absorb(&mut self, inner: Fields) {
        self.problems.extend(inner.problems);
    }

    /// Refuses names that nobody asked for: a typing mistake in a setting must not go unseen.
    pub(crate) fn refuse_unknown(&mut self) {
        let known = self.known.join(", ");
        let unknown: Vec<String> = self.given.keys().cloned().collect();
        for name in unknown {
            let shown: String = name.chars().take(100).collect();
            self.problem(&shown, format!("is not known here; known are {known}"));
        }
    }

    /// Nothing, or everything that is wrong.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.problems)) }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name)
    }

    fn ruled<T>(&mut self, name: &str, ruled: Ruled<T>) -> Option<T> {
        ruled.map_err(|why| self.problem(name, why)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of(value.as_object().expect("an object").clone())
    }

    fn text(value: &Value) -> Ruled<String> {
        value.as_str().map(str::to_owned).ok_or_else(|| "must be a string".to_owned())
    }

    #[test]
    fn every_problem_is_collected() {
        let mut fields = fields(json!({"a": 1, "b": null, "inner": {"c": 2}, "d": "good"}));
        assert_eq!(fields.required("a", text), None);
        assert_eq!(fields.required("b", text), None);
        let mut inner = fields.object("inner", "inner.").expect("given");
        assert_eq!(inner.optional("c", text), None);
        fields.absorb(inner);
        assert_eq!(fields.optional("d", text), Some("good".to_owned()));
        let error = fields.finish().expect_err("three problems");
        let said = "a must be a string; b is required; inner.c must be a string";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn null_clears_and_absence_keeps() {
        let mut fields = fields(json!({"cleared": null, "set": "x"}));
        assert_eq!(fields.clearable("cleared", text), Some(None));
        assert_eq!(fields.clearable("set", text), Some(Some("x".to_owned())));
        assert_eq!(fields.clearable("kept", text), None);
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn a_typing_mistake_is_seen() {
        let mut fields = fields(json!({"nmae": "x"}));
        fields.optional("name", text);
        fields.refuse_unknown();
        let error = fields.finish().expect_err("unknown");
        assert_eq!(error.to_string(), "nmae is not known here; known are name");
    }

    #[test]
    fn a_query_is_decoded() {
        let mut fields = Fields::of_query("name=%C3%BC+x&name=second");
        assert_eq!(fields.optional("name", text), Some("ü x".to_owned()));
    }
}
