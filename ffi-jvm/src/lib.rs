// SPDX-License-Identifier: Apache-2.0
//! `libproxyless_jvm`: the natives of `io.proxyless.agent.NativeBridge`.
//!
//! Only `int`, `long` and `byte[]` cross. Nothing calls up into Java, and no thread of ours is ever attached to the JVM: an
//! attached thread would keep it from exiting. A panic becomes a Java exception.

mod handles;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jni::{
    Env, EnvUnowned,
    errors::ThrowRuntimeExAndDefault,
    objects::{JByteArray, JClass},
    sys::{jint, jlong},
};
use proxyless_core::{
    Client,
    config::{Config, Sources},
    store::Wake,
    wire,
};
use serde::Deserialize;

/// Raised when natives change; the agent refuses another one.
const ABI_VERSION: jint = 1;
/// What `awaitChange` returns once its handle is shut down.
const SHUT_DOWN: jlong = -1;

/// Why a native throws.
#[derive(Debug)]
enum Failure {
    Core(proxyless_core::Error),
    Jni(jni::errors::Error),
    StaleHandle(jlong),
    Input(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Core(error) => error.fmt(f),
            Failure::Jni(error) => error.fmt(f),
            Failure::StaleHandle(handle) => write!(f, "handle {handle} is not open"),
            Failure::Input(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

impl From<proxyless_core::Error> for Failure {
    fn from(error: proxyless_core::Error) -> Self {
        Failure::Core(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Failure::Jni(error)
    }
}

/// Where settings come from, as the agent sends them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    document: String,
    properties: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

fn read(env: &Env<'_>, array: &JByteArray<'_>) -> Result<String, Failure> {
    String::from_utf8(env.convert_byte_array(array)?).map_err(|error| Failure::Input(error.to_string()))
}

/// The version of these natives.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_abiVersion<'local>(
    _env: EnvUnowned<'local>,
    _class: JClass<'local>,
) -> jint {
    ABI_VERSION
}

/// Opens a client from `{"document": …, "properties": {…}, "environment": {…}}`; returns a handle.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_open<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    options: JByteArray<'local>,
) -> jlong {
    env.with_env(|env| -> Result<jlong, Failure> {
        let options: Options = serde_json::from_str(&read(env, &options)?).map_err(|error| Failure::Input(error.to_string()))?;
        let sources = Sources {
            document: options.document,
            properties: options.properties,
            environment: options.environment,
            ..Sources::default()
        };
        Ok(handles::insert(Client::open(Config::load(&sources)?)?))
    })
    .resolve::<ThrowRuntimeExAndDefault>()
}

/// Watches a target.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_watch<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    target: JByteArray<'local>,
) {
    env.with_env(|env| -> Result<(), Failure> { Ok(handles::get(handle)?.watch(&read(env, &target)?)?) })
        .resolve::<ThrowRuntimeExAndDefault>();
}

/// Blocks until the epoch is above `since` or `timeoutMs` have passed; returns the epoch, or -1 once shut down.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_awaitChange<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    since: jlong,
    timeout_ms: jlong,
) -> jlong {
    env.with_env(|_| -> Result<jlong, Failure> {
        let client = handles::get(handle)?;
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        match client.wait(u64::try_from(since).unwrap_or(0), Some(timeout)) {
            Ok(Wake::Changed(epoch) | Wake::TimedOut(epoch)) => Ok(jlong::try_from(epoch).unwrap_or(jlong::MAX)),
            Ok(Wake::Stopped) => Ok(SHUT_DOWN),
            Err(error) if error.code() == proxyless_core::Code::Shutdown => Ok(SHUT_DOWN),
            Err(error) => Err(error.into()),
        }
    })
    .resolve::<ThrowRuntimeExAndDefault>()
}

/// The snapshot, or what changed in it after `since`, in the flat format; null when nothing did.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_snapshot<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    since: jlong,
) -> JByteArray<'local> {
    env.with_env(|env| -> Result<JByteArray<'local>, Failure> {
        let snapshot = handles::get(handle)?.snapshot();
        match wire::encode(&snapshot, u64::try_from(since).unwrap_or(0)) {
            Some(bytes) => Ok(env.byte_array_from_slice(&bytes)?),
            None => Ok(JByteArray::default()),
        }
    })
    .resolve::<ThrowRuntimeExAndDefault>()
}

/// Everything worth knowing, as JSON.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_describe<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) -> JByteArray<'local> {
    env.with_env(|env| -> Result<JByteArray<'local>, Failure> {
        let text = handles::get(handle)?.describe()?.to_string();
        Ok(env.byte_array_from_slice(text.as_bytes())?)
    })
    .resolve::<ThrowRuntimeExAndDefault>()
}

/// Shuts a client down and forgets its handle; a wait in flight returns -1.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_proxyless_agent_NativeBridge_close<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    env.with_env(|_| -> Result<(), Failure> {
        let client: Arc<Client> = handles::remove(handle)?;
        client.shutdown();
        Ok(())
    })
    .resolve::<ThrowRuntimeExAndDefault>();
}
