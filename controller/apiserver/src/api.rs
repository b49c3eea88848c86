//! One request, from its head to its answer.
//!
//! Lives here: authentication, authorization, limits, and the choice of the verb. Must not: know what
//! a verb does. Start at [`Api::answer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Notify, Semaphore, watch};

use crate::auth::{User, Wish, decide};
use crate::catalog::{Catalog, Catalogs};
use crate::kind::Kind;
use crate::media::{self, Form, Offers};
use crate::params::Params;
use crate::reply::{self, Body, Warnings, Writing};
use crate::route::{self, Route, Target};
use crate::status::{Answer, ApiError};
use crate::store::Store;
use crate::verbs;
use crate::world::World;

/// Everything that answers requests.
pub(crate) struct Api {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) world: Arc<World>,
    pub(crate) catalogs: Catalogs,
    /// True once the server is stopping.
    pub(crate) stopping: watch::Receiver<bool>,
    /// There are more events than are kept.
    pub(crate) crowded: Notify,
    /// One permit for each request that is not a watch.
    slots: Semaphore,
    watches: AtomicUsize,
}

/// One request to a resource, understood.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) user: User,
    pub(crate) kind: Arc<Kind>,
    pub(crate) catalog: Arc<Catalog>,
    /// Empty for cluster scope or all namespaces.
    pub(crate) namespace: String,
    pub(crate) target: Target,
    pub(crate) params: Params,
    pub(crate) form: Form,
    pub(crate) headers: HeaderMap,
    pub(crate) warnings: Warnings,
}

impl Asked {
    /// The name in the path; empty when there is none.
    pub(crate) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn writing(&self) -> Writing {
        Writing {
            syntax: self.form.syntax,
            pretty: media::for_people(&self.headers, self.params.pretty),
        }
    }
}

impl Api {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        world: Arc<World>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let catalogs = Catalogs::new(&world);
        Self {
            store,
            world,
            catalogs,
            stopping,
            crowded: Notify::new(),
            slots: Semaphore::new(MAX_REQUESTS),
            watches: AtomicUsize::new(0),
        }
    }

    /// Answers one request of `user` (as the connection knows them).
    pub(crate) async fn answer(
        self: &Arc<Self>,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let head = *request.method() == Method::HEAD;
        let pretty = media::for_people(request.headers(), None);
        // What a client cannot be given in any form that it names is told as JSON.
        let syntax = media::accept(request.headers(), Offers::Objects).unwrap_or_default().syntax;
        let writing = Writing { syntax, pretty };
        let mut response = match self.dispatch(user, request).await {
            Ok(response) => response,
            Err(error) => reply::error(&error, writing),
        };
        if head {
            *response.body_mut() =
                http_body_util::BodyExt::boxed_unsync(http_body_util::Empty::new());
        }
        let audit = uuid::Uuid::new_v4().to_string();
        if let Ok(audit) = audit.parse() {
            response.headers_mut().insert("audit-id", audit);
        }
        response
    }

    async fn dispatch(
        self: &Arc<Self>,
        user: Option<User>,
        request: Request<Incoming>,
    ) -> Answer<Response<Body>> {
        let user = self.authenticate(user, request.headers())?;
        let path = request.uri().path();
        match route::parse(path) {
            None => Err(ApiError::no_such_path()),
            Some(Route::Plain(parts)) => {
                let verb = request.method().as_str().to_ascii_lowercase();
                let wish = Wish::Path { verb: &verb, path };
                if decide(&self.world, &user, wish).is_none() {
                    return Err(ApiError::forbidden_path(&user.name, &verb, path));
                }
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                verbs::plain::answer(self, &parts, &request)
            }
            Some(Route::Resource(target)) => self.resource(user, target, request).await,
        }
    }

    fn authenticate(&self, user: Option<User>, headers: &HeaderMap) -> Answer<User> {
        if headers.contains_key(http::header::AUTHORIZATION) && user.is_none() {
            // No tokens and no passwords are given out, so none is right.
            return Err(ApiError::unauthorized());
        }
        let user = user.unwrap_or_else(User::anonymous);
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let Some(name) = headers.get("impersonate-user").and_then(text) else {
            if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
                // Who asks to be less than they are must not be taken for who they are.
                return Err(ApiError::half_impersonated());
            }
            return Ok(user);
        };
        let groups: Vec<String> =
            headers.get_all("impersonate-group").iter().filter_map(text).collect();
        let may = |resource: &str, name: &str| {
            let wish =
                Wish::Resource { verb: "impersonate", group: "", resource, namespace: "", name };
            decide(&self.world, &user, wish).is_some()
        };
        for (resource, name) in
            std::iter::once(("users", &name)).chain(groups.iter().map(|group| ("groups", group)))
        {
            if !may(resource, name) {
                let message = format!(
                    "{resource} {name:?} is forbidden: User {:?} cannot impersonate resource {resource:?} in API group \"\" at the cluster scope",
                    user.name
                );
                return Err(ApiError::new(StatusCode::FORBIDDEN, "Forbidden", message));
            }
        }
        Ok(User::authenticated(name, groups))
    }

    async fn resource(
        self: &Arc<Self>,
        user: User,
        target: Target,
        request: Request<Incoming>,
    ) -> Answer<Response<Body>> {
        let catalog = self.catalogs.now(&self.world);
        let kind = catalog.find(&target.group, &target.version, &target.plural);
        let query = request.uri().query().unwrap_or_default();
        let params = Params::parse(query, options_of(request.method()))?;
        let verb = verb_of(request.method(), &target, &params);
        let group = kind.as_ref().map_or(target.group.as_str(), |kind| kind.group.as_str());
        self.authorize(&user, verb, group, &target)?;
        let kind = kind.ok_or_else(|| match target.group.as_str() {
            "" => ApiError::no_such_resource(),
            _ => ApiError::no_such_path(),
        })?;
        let (namespace, target) = place(&kind, target, verb)?;
        if target.subresource.as_deref().is_some_and(|sub| !kind.has(sub)) {
            return Err(ApiError::not_found(&kind, target.name.as_deref().unwrap_or_default()));
        }
        let allowed = match &target.subresource {
            None => kind.verbs,
            Some(name) => {
                let sub = kind.subresources.iter().find(|sub| sub.name == name);
                sub.map_or(&[][..], |sub| sub.verbs)
            }
        };
        if !allowed.contains(&verb) || !fits_method(&kind, request.method(), verb, &target) {
            return Err(refused_method(&kind, verb, &target));
        }
        let (parts, body) = request.into_parts();
        let form = media::accept(&parts.headers, Offers::Objects)?;
        let mut asked = Asked {
            user,
            kind,
            catalog,
            namespace,
            target,
            params,
            form,
            headers: parts.headers,
            warnings: Warnings::default(),
        };
        if let Some(text) = &asked.kind.deprecation {
            asked.warnings.add(text.clone());
        }
        if verb == "watch" {
            let seat = Seat::take(Arc::clone(self))?;
            return verbs::watch::watch(self, asked, seat).await;
        }
        let _slot = self.slots.try_acquire().map_err(|_| ApiError::too_many_requests())?;
        let work = async {
            match verb {
                "get" => verbs::read::get(self, asked).await,
                "list" => verbs::read::list(self, asked).await,
                "create" => verbs::create::create(self, asked, body).await,
                "update" => verbs::update::update(self, asked, body).await,
                "patch" => verbs::patch::patch(self, asked, body).await,
                "delete" => verbs::delete::delete(self, asked, body).await,
                _ => verbs::delete::collection(self, asked, body).await,
            }
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
            Ok(answer) => answer,
            Err(_) => Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "Timeout",
                "request did not complete within the allotted timeout",
            )),
        }
    }

    fn authorize(&self, user: &User, verb: &str, group: &str, target: &Target) -> Answer<()> {
        let resource = match &target.subresource {
            None => target.plural.clone(),
            Some(sub) => format!("{}/{sub}", target.plural),
        };
        let namespace = match (target.plural.as_str(), &target.name) {
            ("namespaces", Some(name)) if group.is_empty() => name.as_str(),
            _ => target.namespace.as_deref().unwrap_or_default(),
        };
        let name = target.name.as_deref().unwrap_or_default();
        let wish = Wish::Resource { verb, group, resource: &resource, namespace, name };
        if decide(&self.world, user, wish).is_some() {
            return Ok(());
        }
        let place = match target.namespace.as_deref() {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let why = format!(
            "User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}",
            user.name
        );
        Err(ApiError::forbidden_resource(group, &target.plural, name, &why))
    }
}

/// A place among those who watch; given back when dropped.
pub(crate) struct Seat(Arc<Api>);

impl Seat {
    fn take(api: Arc<Api>) -> Answer<Self> {
        if api.watches.fetch_add(1, Ordering::Relaxed) >= MAX_WATCHES {
            api.watches.fetch_sub(1, Ordering::Relaxed);
            return Err(ApiError::too_many_requests());
        }
        Ok(Self(api))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The namespace of the request, and the target as the kind's scope reads it.
fn place(kind: &Kind, target: Target, verb: &str) -> Answer<(String, Target)> {
    let namespace = target.namespace.clone().unwrap_or_default();
    let fits = match (kind.namespaced, target.namespace.is_some()) {
        (true, true) | (false, false) => true,
        // All namespaces at once: only to read, and no single object.
        (true, false) => target.name.is_none() && matches!(verb, "list" | "watch"),
        (false, true) => false,
    };
    match kind.builtin() {
        _ if fits => Ok((namespace, target)),
        Some(_) => Err(ApiError::no_such_resource()),
        None => Err(ApiError::no_such_path()),
    }
}

fn verb_of(method: &Method, target: &Target, params: &Params) -> &'static str {
    match (method.as_str(), target.name.is_some()) {
        ("GET" | "HEAD", named) if target.watch || (params.watch && !named) => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        ("PUT", false) => "update of a collection",
        ("PATCH", false) => "patch of a collection",
        _ => "",
    }
}

/// Built-in kinds know fewer methods than custom ones, which take a POST to an object as one to the
/// collection.
fn fits_method(kind: &Kind, method: &Method, verb: &str, target: &Target) -> bool {
    kind.builtin().is_none()
        || (method != Method::HEAD
            && (verb != "create" || target.name.is_none() || target.subresource.is_some()))
}

/// Built-in kinds refuse by path, custom kinds by verb.
fn refused_method(kind: &Kind, verb: &str, target: &Target) -> ApiError {
    match verb {
        _ if kind.builtin().is_some() => ApiError::no_such_method(),
        "update of a collection" | "patch of a collection" if target.name.is_none() => {
            ApiError::bad_request("name must be provided")
        }
        verb => ApiError::method_not_allowed(kind, verb),
    }
}

fn options_of(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "CreateOptions",
        "PUT" => "UpdateOptions",
        "PATCH" => "PatchOptions",
        "DELETE" => "DeleteOptions",
        _ => "ListOptions",
    }
}

const MAX_REQUESTS: usize = 400;
const MAX_WATCHES: usize = 2000;
const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
