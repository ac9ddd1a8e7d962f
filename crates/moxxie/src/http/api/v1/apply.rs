//! `POST /api/v1/boot/apply` and `GET /api/v1/boot/export`: the declarative form.
//!
//! Items are profiles and assignments with their fields inline and a `kind`. All of them are
//! checked first and written in one transaction. What is there already is left alone, so the
//! same items can be applied again and again; nothing is deleted, and nothing is armed but
//! assignments that are new and do not say `armed: false`.

use super::assignments::{create, wire as machine};
use super::page::one;
use super::profiles::{check, wire};
use crate::app::App;
use crate::clock::new_id;
use crate::config::Config;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer, Query, Viewer, typed};
use axum::Json;
use axum::extract::State;
use moxxie_core::access::{Actor, Role};
use moxxie_core::assignment::{Assignment, AssignmentSpec};
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::EventKind;
use moxxie_core::profile::Profile;
use moxxie_store::{AssignmentFilter, Change};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Items at most.
const MAX_ITEMS: usize = 10_000;

/// What was, or would be, done to one item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Applied {
    /// `profile` or `assignment`.
    pub kind: &'static str,
    /// Its name, or MAC address.
    pub name: String,
    /// `create`, `update` or `unchanged`.
    pub action: &'static str,
    /// The fields that change.
    pub fields: Vec<String>,
}

/// Make profiles and assignments be as described; all or nothing.
#[utoipa::path(post, path = "/api/v1/boot/apply", tag = "assignments", security(("token" = ["operator"])),
    params(("dry_run" = Option<bool>, Query, description = "true: only say what would change")),
    request_body = Object, responses(
    (status = 200, description = "`{dry_run, changes: [{kind, name, action, fields}]}`", body = Value),
    (status = 409, description = "it contradicts what is there", body = Problem),
    (status = 422, description = "an item; the pointer begins with its number", body = Problem),
))]
pub async fn apply(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    query: Query,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    query.only(&["dry_run"]).map_err(ApiError::bad_request)?;
    let dry_run = match one(&query, "dry_run")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("/dry_run", "true or false")),
    };
    let Some(Value::Array(items)) = body.get("items").cloned() else {
        return Err(ApiError::field("/items", "an array of objects with a `kind`"));
    };
    if items.len() > MAX_ITEMS {
        return Err(ApiError::field("/items", format!("at most {MAX_ITEMS} items at once")));
    }
    let mut work = Work {
        app: &app,
        config: app.config(),
        actor: &actor,
        profiles: HashMap::new(),
        changes: vec![],
        done: vec![],
        turned: vec![],
    };
    // Profiles first, so that assignments may name profiles of the same set in any order.
    for wanted in ["profile", "assignment"] {
        for (i, item) in items.iter().enumerate() {
            let prefix = format!("/items/{i}");
            let kind = item["kind"].as_str().unwrap_or("");
            match (wanted, kind) {
                ("profile", "profile") => work.profile(item.clone()).await.map_err(|e| e.below(&prefix))?,
                ("assignment", "assignment") => {
                    work.assignment(item.clone()).await.map_err(|e| e.below(&prefix))?
                }
                (_, "profile" | "assignment") => {}
                _ => return Err(ApiError::field(format!("{prefix}/kind"), "profile or assignment")),
            }
        }
    }
    let Work { changes, done, turned, .. } = work;
    if !dry_run && !changes.is_empty() {
        app.write().apply(&changes, &app.by(actor.name.clone(), peer)).await?;
        // A window that opens or closes shows in the machine's story, whoever turned it and how.
        for (kind, spec, profile) in turned {
            let message = format!("{} by {} (apply) for profile {profile}", kind.as_str(), actor.name);
            let mut event = app.event(kind, Some(spec.mac_address), Some(peer), &message);
            event.node_name = Some(spec.node_name.to_string());
            event.boot_profile = Some(profile);
            app.events.push(event, None);
        }
    }
    Ok(Json(json!({"dry_run": dry_run, "changes": done})))
}

struct Work<'a> {
    app: &'a App,
    /// The settings when it began: all items are judged alike.
    config: Arc<Config>,
    actor: &'a Actor,
    /// Profiles of this set by name, as they will be.
    profiles: HashMap<String, Profile>,
    changes: Vec<Change>,
    done: Vec<Applied>,
    /// Windows that open or close, with the machine and the name of its profile.
    turned: Vec<(EventKind, AssignmentSpec, String)>,
}

fn may_not_change(profile: &str) -> ApiError {
    let profile = moxxie_core::boot::event::one_line(profile, 64);
    ApiError::forbidden(format!("profile {profile} would change, and that needs the role admin"))
}

fn without_kind(mut item: Value) -> Value {
    if let Some(object) = item.as_object_mut() {
        object.remove("kind");
    }
    item
}

/// The fields in which two objects differ.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    let empty = serde_json::Map::new();
    let (a, b) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut names: Vec<String> =
        a.keys().chain(b.keys()).filter(|k| a.get(*k) != b.get(*k)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

impl Work<'_> {
    async fn profile(&mut self, item: Value) -> ApiResult<()> {
        let item = without_kind(item);
        let name = item["name"].as_str().unwrap_or("").to_owned();
        if self.profiles.contains_key(&name) {
            return Err(ApiError::field("/name", format!("profile {name} stands twice in this set")));
        }
        let old = self.app.read().profile(&name).await?.filter(|p| p.spec.name.as_str() == name);
        let item = match &old {
            _ if self.actor.role == Role::Admin => item,
            Some(old) => wire::unmasked(item, old, true),
            None => return Err(may_not_change(&name)),
        };
        let spec = wire::read(item, old.as_ref(), wire::Silence::Computes)?;
        let assigned = match &old {
            Some(old) => self.app.read().assignments_of(&old.id).await?,
            None => vec![],
        };
        let before = old.as_ref().and_then(|p| p.spec.provisioning.as_ref());
        check::provisioning(spec.provisioning.as_ref(), before, &self.config.site)?;
        check::profile(&spec, &assigned, &self.config.site)?;
        let now = self.app.clock.now();
        let next = match &old {
            Some(old) => Profile { spec, ..old.clone() },
            None => Profile { id: new_id(), spec, revision: 0, created_at: now, updated_at: now },
        };
        let fields = match &old {
            Some(old) => differing(&wire::writable(old), &wire::writable(&next)),
            None => vec![],
        };
        let action = match &old {
            None => "create",
            Some(old) if old.spec == next.spec => "unchanged",
            Some(_) => "update",
        };
        if action != "unchanged" {
            if self.actor.role < Role::Admin {
                return Err(may_not_change(&name));
            }
            self.changes.push(match old {
                None => Change::CreateProfile { id: next.id.clone(), spec: next.spec.clone() },
                Some(old) => {
                    Change::UpdateProfile { id: old.id, expect: old.revision, spec: next.spec.clone() }
                }
            });
        }
        self.done.push(Applied { kind: "profile", name: name.clone(), action, fields });
        self.profiles.insert(name, next);
        Ok(())
    }

    async fn assignment(&mut self, item: Value) -> ApiResult<()> {
        let says = |field: &str| item.get(field).is_some();
        let (says_protected, says_quarantined) = (says("protected"), says("quarantined"));
        let mut input: machine::AssignmentInput = typed(without_kind(item))?;
        let app = self.app;
        let old = app.read().assignment(input.mac_address).await?;
        if let Some(Known { assignment, .. }) = &old
            && assignment.spec.mac_address != input.mac_address
        {
            return Err(ApiError::conflict(format!(
                "{} is a further NIC of {} ({}): name that one, or take the NIC away from it first",
                input.mac_address, assignment.spec.node_name, assignment.spec.mac_address
            )));
        }
        if let Some(Known { assignment, .. }) = &old {
            // A hand that protected or quarantined a machine is not undone by a file that is
            // silent about it.
            input.protected |= assignment.spec.protected && !says_protected;
            input.quarantined |= assignment.spec.quarantined && !says_quarantined;
        }
        let wanted = input
            .boot_profile
            .as_ref()
            .map(|n| n.to_string())
            .or(input.boot_profile_id.clone())
            .ok_or_else(|| ApiError::field("/boot_profile", "is missing: name a profile"))?;
        let profile = match self.profiles.get(&wanted) {
            Some(profile) => profile.clone(),
            None => app.read().profile(&wanted).await?.ok_or_else(|| {
                ApiError::field(
                    "/boot_profile",
                    format!("there is no profile {:?}", moxxie_core::boot::event::one_line(&wanted, 64)),
                )
            })?,
        };
        let armed = input.armed;
        if old.is_some() {
            // Only a new assignment is armed; on one that is there the word has no meaning.
            input.armed = None;
        }
        let spec = machine::spec(input, &profile, old.as_ref().map(|k| &k.assignment), "apply")?;
        let before = old.as_ref().and_then(|k| k.assignment.spec.provisioning.as_ref());
        check::provisioning(spec.provisioning.as_ref(), before, &self.config.site)?;
        machine::may(self.actor.role, &spec, &profile, old.as_ref())?;
        let name = spec.mac_address.to_string();
        if self.done.iter().any(|d| d.kind == "assignment" && d.name == name) {
            return Err(ApiError::field("/mac_address", format!("{name} stands twice in this set")));
        }
        let (action, fields) = match &old {
            None => {
                let boot = create::first_record(app, &spec, &profile, armed)?;
                let draft = create::draft(app, &spec, &boot);
                check::assignment(&profile.spec, &draft, &self.config.site)?;
                if boot.state.is_open() {
                    self.turned.push((EventKind::Armed, spec.clone(), profile.spec.name.to_string()));
                }
                self.changes.push(Change::CreateAssignment { id: new_id(), spec, boot });
                ("create", vec![])
            }
            Some(old) => self.changed(old, &profile, Assignment { spec, ..old.assignment.clone() })?,
        };
        self.done.push(Applied { kind: "assignment", name, action, fields });
        Ok(())
    }

    fn changed(
        &mut self,
        old: &Known,
        profile: &Profile,
        next: Assignment,
    ) -> ApiResult<(&'static str, Vec<String>)> {
        let app = self.app;
        check::assignment(&profile.spec, &next, &self.config.site)?;
        if old.assignment.spec == next.spec {
            return Ok(("unchanged", vec![]));
        }
        let now = app.clock.now();
        let boot = super::assignments::update::next_record(old, &next.spec, now)?;
        let after =
            machine::view(&next, Some(profile.spec.name.as_str()), Role::Admin, &self.config.site, now);
        let before = serde_json::to_value(machine::view_known(app, old, Role::Admin)).unwrap_or_default();
        let fields = differing(&before, &serde_json::to_value(after).unwrap_or_default());
        if old.assignment.boot.state.is_open() && !boot.state.is_open() {
            self.turned.push((EventKind::Disarmed, next.spec.clone(), profile.spec.name.to_string()));
        }
        self.changes.push(Change::UpdateAssignment {
            id: old.assignment.id.clone(),
            expect: old.assignment.revision,
            spec: next.spec,
            disarm: boot.generation != old.assignment.boot.generation,
        });
        Ok(("update", fields))
    }
}

/// Everything as items that `apply` reads back. Only an admin's export carries secrets.
#[utoipa::path(get, path = "/api/v1/boot/export", tag = "assignments", security(("token" = ["viewer"])), responses(
    (status = 200, description = "`{items: […]}`", body = Value),
))]
pub async fn export(
    State(app): State<Arc<App>>,
    Viewer(actor): Viewer,
    Peer(peer): Peer,
) -> ApiResult<Json<Value>> {
    let mut items = Vec::new();
    let mut names = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let rows = app.read().profiles(after.as_deref(), 500).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.spec.name.to_string());
        for profile in &rows {
            names.insert(profile.id.clone(), profile.spec.name.to_string());
            items.push(profile_item(profile, actor.role));
        }
    }
    let mut after: Option<String> = None;
    loop {
        let rows = app.read().assignments(&AssignmentFilter::default(), after.as_deref(), 500).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.spec.mac_address.to_string());
        for assignment in &rows {
            let name = names.get(&assignment.spec.boot_profile_id).map(String::as_str);
            let view = machine::view(assignment, name, actor.role, &app.config().site, app.clock.now());
            items.push(assignment_item(serde_json::to_value(view).unwrap_or_default()));
        }
    }
    if actor.role == Role::Admin {
        app.witness.shown("secrets.read", &actor.name, peer, "export".into()).await?;
    }
    Ok(Json(json!({"items": items})))
}

fn profile_item(profile: &Profile, role: Role) -> Value {
    let mut value = serde_json::to_value(wire::view(profile, role)).unwrap_or_default();
    let found = !wire::reasons(&profile.spec).is_empty();
    if let Some(object) = value.as_object_mut() {
        wire::READ_ONLY.iter().for_each(|field| {
            object.remove(*field);
        });
        tidy(object);
        // What the lint finds by itself need not be said; a word against it has to be, also a
        // `false`, or another site would judge anew.
        object.remove("destructive");
        if profile.spec.destructive != found {
            object.insert("destructive".into(), profile.spec.destructive.into());
        }
        object.insert("kind".into(), "profile".into());
    }
    value
}

fn assignment_item(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        machine::READ_ONLY.iter().chain(&["boot_profile_id"]).for_each(|field| {
            object.remove(*field);
        });
        tidy(object);
        // Applied at another site, a copy of this one must not install a single machine.
        object.insert("armed".into(), false.into());
        object.insert("kind".into(), "assignment".into());
    }
    value
}

/// Leaves out what says nothing.
fn tidy(object: &mut serde_json::Map<String, Value>) {
    let default = |name: &str, v: &Value| {
        matches!((name, v.as_str()), ("local_boot", Some("auto")) | ("boot_policy", Some("once")))
    };
    object.retain(|name, v| !default(name, v));
    object.retain(|_, v| match v {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Number(_) => true,
    });
}
