//! gRPC's codec for our messages: prost's, with a bound on how much a message may hold.
//!
//! The bound on a message's bytes is not enough: a value of two bytes becomes a node of a tree, and hundreds of bytes
//! of memory by the time that it is written as JSON again. So the wire form is counted before it is decoded.

use bytes::Buf;
use prost::{
    Message, Name,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::POOL;

/// The most messages and elements of lists, at any depth, in one message. The definition of a tool has some forty, so
/// that thousands of tools fit; a node of the tree takes up to a kilobyte.
const MOST: usize = 200_000;
/// How many plain fields count as one of those: they cost time, and no memory to speak of.
const PLAIN: usize = 10;
/// How deep prost takes messages in each other.
const DEEPEST: usize = 100;

/// prost's codec for messages that hold no more than 200,000 others.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder { descriptor: POOL.get_message_by_name(&U::full_name()), inner: self.0.decoder() }
    }
}

/// A decoder that counts first.
#[derive(Debug)]
pub struct BoundedDecoder<D> {
    descriptor: Option<MessageDescriptor>,
    inner: D,
}

impl<D: Decoder<Error = Status>> Decoder for BoundedDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        if let Some(descriptor) = &self.descriptor
            // tonic's buffer is in one piece.
            && let Err(field) = affordable(descriptor, buf.chunk())
        {
            return Err(Status::invalid_argument(format!(
                "`{field}`: the request holds more than {MOST} messages and list elements up to here: send less, or \
                 send a chat request as JSON with CreateRawChatCompletion"
            )));
        }
        self.inner.decode(buf)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.inner.buffer_settings()
    }
}

/// Whether the message in `bytes` holds no more than it may; else the field of the root that goes beyond it. What is
/// no message passes: prost says so better.
fn affordable(descriptor: &MessageDescriptor, bytes: &[u8]) -> Result<(), String> {
    let mut left = MOST * PLAIN;
    match count(descriptor, bytes, &mut left, 0) {
        Err(Stopped::TooMuch(number)) => {
            let field = descriptor.get_field(number);
            Err(field.map_or_else(|| number.to_string(), |field| field.name().to_owned()))
        }
        Ok(()) | Err(Stopped::Malformed) => Ok(()),
    }
}

/// Why counting ended.
enum Stopped {
    /// Within the field of this number.
    TooMuch(u32),
    Malformed,
}

impl From<prost::DecodeError> for Stopped {
    fn from(_: prost::DecodeError) -> Self {
        Self::Malformed
    }
}

fn count(
    descriptor: &MessageDescriptor,
    mut bytes: &[u8],
    left: &mut usize,
    depth: usize,
) -> Result<(), Stopped> {
    if depth > DEEPEST {
        return Err(Stopped::Malformed);
    }
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        let field = descriptor.get_field(number);
        let message = field.as_ref().and_then(|field| match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        });
        let element = field.is_some_and(|field| field.is_list() || field.is_map());
        let cost = if element || message.is_some() { PLAIN } else { 1 };
        *left = left.checked_sub(cost).ok_or(Stopped::TooMuch(number))?;
        match message {
            Some(inner) if wire_type == WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
                let (within, after) = bytes.split_at_checked(length).ok_or(Stopped::Malformed)?;
                count(&inner, within, left, depth + 1).map_err(|stopped| match stopped {
                    Stopped::TooMuch(_) => Stopped::TooMuch(number),
                    Stopped::Malformed => Stopped::Malformed,
                })?;
                bytes = after;
            }
            _ => skip_field(wire_type, number, &mut bytes, DecodeContext::default())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost_types::{ListValue, Struct, Value, value};

    use super::*;
    use crate::proto::v1;

    fn refused(message: &impl Name) -> Option<String> {
        let descriptor = POOL.get_message_by_name(&v1::CreateChatCompletionRequest::full_name()).unwrap();
        affordable(&descriptor, &message.encode_to_vec()).err()
    }

    fn list(length: usize) -> Option<Value> {
        let values = vec![Value { kind: Some(value::Kind::BoolValue(true)) }; length];
        Some(Value { kind: Some(value::Kind::ListValue(ListValue { values })) })
    }

    #[test]
    fn messages_at_any_depth_and_elements_of_lists_are_counted() {
        let choice =
            |length| v1::CreateChatCompletionRequest { tool_choice: list(length), ..Default::default() };
        // Each element also has a plain field.
        assert_eq!(refused(&choice(MOST * PLAIN / (PLAIN + 1) - 2)), None);
        assert_eq!(refused(&choice(MOST)), Some("tool_choice".into()));
        let stop = |length| v1::CreateChatCompletionRequest {
            stop: vec![String::new(); length],
            ..Default::default()
        };
        assert_eq!((refused(&stop(MOST)), refused(&stop(MOST + 1))), (None, Some("stop".into())));
        let fields = (0..MOST).map(|i| (i.to_string(), Value::default())).collect();
        let extra = v1::CreateChatCompletionRequest { extra: Some(Struct { fields }), ..Default::default() };
        assert_eq!(refused(&extra), Some("extra".into()));
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        let descriptor = POOL.get_message_by_name("orqen.v1.CreateChatCompletionRequest").unwrap();
        for bytes in [&[0x0a][..], &[0x0a, 0x7f, b'x'], &[0x00, 0x01], &[0x0f], &[0xff; 12], &[0x0b; 1000]] {
            assert!(affordable(&descriptor, bytes).is_ok(), "{bytes:?}");
        }
    }
}
