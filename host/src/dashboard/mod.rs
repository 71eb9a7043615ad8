//! The page: its files, the dashboards it draws, and the panels it keeps up to date.
//!
//! Every byte of the page comes from the binary. What a panel shows is what the index answers:
//! the index is the only aggregation engine, and a panel that did not change is not sent again.
//! The page's other data comes from `api`.

mod assets;
mod live;
mod registry;
mod routes;

pub use live::{Live, PAGES_MAX, Pages, TooManyPages};
pub use registry::{Chart, Dashboard, DashboardError, Dashboards, Panel};
pub use routes::router;
