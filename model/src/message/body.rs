//! Bodies: raw JSON or a typed value, each made from the other at most once, and shared.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A body could not be read as what it should be; answer 400 with this text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("malformed body: {0}")]
pub struct BodyError(pub String);

/// A type that is the body of messages. Its serialisation cannot fail: no maps with keys that are not strings.
pub trait WireBody: Serialize + DeserializeOwned + Any + Send + Sync {}

impl WireBody for serde_json::Value {}

/// The body of a message.
#[derive(Clone)]
pub struct Body(Arc<Form>);

/// What the body was given as, and the other form once somebody asked for it.
enum Form {
    Raw(Bytes, OnceLock<Typed>),
    Typed(Typed, OnceLock<Bytes>),
}

struct Typed {
    value: Arc<dyn Any + Send + Sync>,
    encode: fn(&(dyn Any + Send + Sync)) -> Vec<u8>,
}

impl Body {
    /// `{}`.
    pub fn empty() -> Body {
        Body::from_raw(Bytes::from_static(b"{}"))
    }

    /// A typed body; it is encoded when it first leaves the process.
    pub fn of<T: WireBody>(value: T) -> Body {
        Body::shared(Arc::new(value))
    }

    /// A typed body that others hold too.
    pub fn shared<T: WireBody>(value: Arc<T>) -> Body {
        Body(Arc::new(Form::Typed(Typed { value, encode: encode::<T> }, OnceLock::new())))
    }

    /// Text that is known to be one JSON value.
    pub(super) fn from_raw(raw: Bytes) -> Body {
        Body(Arc::new(Form::Raw(raw, OnceLock::new())))
    }

    /// The JSON text; encoded at the first call.
    pub fn raw(&self) -> &Bytes {
        match &*self.0 {
            Form::Raw(raw, _) => raw,
            Form::Typed(typed, raw) => raw.get_or_init(|| (typed.encode)(&*typed.value).into()),
        }
    }

    /// The body as a `T`; parsed at the first call.
    ///
    /// # Errors
    /// [`BodyError`] when it is not a `T`.
    pub fn decode<T: WireBody>(&self) -> Result<Arc<T>, BodyError> {
        let typed = match &*self.0 {
            Form::Raw(_, typed) => typed.get(),
            Form::Typed(typed, _) => Some(typed),
        };
        if let Some(Ok(value)) = typed.map(|typed| Arc::clone(&typed.value).downcast::<T>()) {
            return Ok(value);
        }
        let value: T = serde_json::from_slice(self.raw()).map_err(|error| BodyError(error.to_string()))?;
        let value = Arc::new(value);
        if let Form::Raw(_, typed) = &*self.0 {
            // Somebody may have decoded it as another type before; then this reader has its own copy.
            let _ = typed.set(Typed { value: Arc::clone(&value) as _, encode: encode::<T> });
        }
        Ok(value)
    }
}

fn encode<T: WireBody>(value: &(dyn Any + Send + Sync)) -> Vec<u8> {
    let value = value.downcast_ref::<T>().unwrap_or_else(|| unreachable!("stored beside its own encoder"));
    serde_json::to_vec(value).unwrap_or_else(|error| unreachable!("a WireBody serialises: {error}"))
}

impl<T: WireBody> From<T> for Body {
    fn from(value: T) -> Body {
        Body::of(value)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.raw().len())
    }
}
