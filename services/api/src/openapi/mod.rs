//! The API's description of itself, in OpenAPI 3.1. It is collected from the handlers: [`Routes`] takes no route that has
//! none. What holds for every operation is said in one place, [`common`].

mod common;
pub(crate) mod shapes;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{FromFnLayer, Next};
use axum::response::Response;
use serde_json::Value;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::context::App;

/// Routes with their descriptions. There is no way to add one without the other.
pub(crate) struct Routes(OpenApiRouter<App>);

impl Routes {
    pub(crate) fn new() -> Self {
        Self(OpenApiRouter::new())
    }

    /// Handlers of one path.
    pub(crate) fn with(self, routes: UtoipaMethodRouter<App>) -> Self {
        Self(self.0.routes(routes))
    }

    pub(crate) fn nest(self, path: &str, inner: Routes) -> Self {
        Self(self.0.nest(path, inner.0))
    }

    pub(crate) fn merge(self, other: Routes) -> Self {
        Self(self.0.merge(other.0))
    }

    /// Runs `through` before every handler that is there now.
    pub(crate) fn through<F, Fut>(self, app: &App, through: F) -> Self
    where
        F: Fn(axum::extract::State<App>, Request, Next) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
        FromFnLayer<F, App, (axum::extract::State<App>, Request)>: Clone,
    {
        Self(self.0.route_layer(axum::middleware::from_fn_with_state::<
            F,
            App,
            (axum::extract::State<App>, Request),
        >(app.clone(), through)))
    }

    /// The routes, and what they say of themselves.
    pub(crate) fn into_parts(self) -> (Router<App>, Value) {
        let (router, document) = self.0.split_for_parts();
        let document = serde_json::to_value(document).expect("a description is plain data");
        (router, common::completed(document))
    }
}
