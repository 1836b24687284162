# The first packet of a client or a server that speaks MQTT 3.1, 3.1.1 or 5.0: CONNECT or CONNACK
# (manual section 7.3.1, `mqtt_is_valid` and `mqtt_field_value`). Pure.

from libc.stdint cimport int64_t, uint32_t, uint8_t

from proxy.lists.lookup cimport same
from proxy.rules.codes cimport CONVERT_MQTT_VALID
from proxy.rules.converting.mqtt_properties cimport (
    OF_CONNACK, OF_CONNECT, OF_WILL, VARINT_BYTES_MAX, MqttField, MqttReader, mqtt_noted,
    mqtt_properties, mqtt_text, mqtt_varint, number_absent)
from proxy.rules.sample cimport set_text, set_truth, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Sample, Scratch, Step
from shm.text cimport Text, put_number, text_over

cdef enum:  # kinds of packets
    MQTT_CONNECT = 1
    MQTT_CONNACK = 2

cdef enum:  # MqttVerdict
    MQTT_WRONG = 0
    MQTT_RIGHT = 1
    MQTT_SHORT = 2  # it is not whole yet

cdef enum:  # versions of the protocol
    MQTT_3_1 = 3
    MQTT_3_1_1 = 4
    MQTT_5 = 5

cdef enum:  # flags of CONNECT
    FLAG_RESERVED = 0x01
    FLAG_WILL = 0x04
    FLAGS_OF_WILL = 0x3C  # with its level of service, and whether it is retained
    FLAG_LEVEL = 0x18
    FLAG_PASSWORD = 0x40
    FLAG_NAME = 0x80

cdef enum:  # fields that are no properties, as in proxy/config/lines/rules/message_converters.py
    FIELD_FLAGS = 256
    FIELD_PROTOCOL = 257
    FIELD_VERSION = 258
    FIELD_CLIENT = 259
    FIELD_WILL_TOPIC = 260
    FIELD_WILL = 261
    FIELD_NAME = 262
    FIELD_PASSWORD = 263
    FIELD_KEEPALIVE = 264
    FIELD_REASON = 265


cdef inline bint protocol_fits(const char *name, size_t length) noexcept nogil:
    """Whether it is the name of a version, as in HAProxy whichever."""
    return (length == 4 and same(name, b"MQTT", 4, True)) or (
        length == 6 and same(name, b"MQIsdp", 6, True))


cdef inline bint flags_fit(uint32_t flags) noexcept nogil:
    """As strict as HAProxy: a level of service that there is not needs a will."""
    return not flags & FLAG_RESERVED and flags & FLAGS_OF_WILL != FLAG_LEVEL


cdef inline void connect_read(MqttReader *reader, MqttField *field) noexcept nogil:
    cdef MqttField name
    cdef uint32_t version, flags
    name.sought = FIELD_PROTOCOL
    name.there = False
    mqtt_text(reader, &name, FIELD_PROTOCOL)
    if reader.wrong:
        return
    if field.sought == FIELD_PROTOCOL:
        field[0] = name
    version = mqtt_noted(reader, 1, field, FIELD_VERSION)
    flags = mqtt_noted(reader, 1, field, FIELD_FLAGS)
    mqtt_noted(reader, 2, field, FIELD_KEEPALIVE)
    if reader.wrong or not MQTT_3_1 <= version <= MQTT_5 or not flags_fit(flags) or (
            not protocol_fits(<const char *>name.text, name.length)):
        reader.wrong = True
        return
    if version == MQTT_5:
        mqtt_properties(reader, field, OF_CONNECT)
        number_absent(field, OF_CONNECT)
    mqtt_text(reader, field, FIELD_CLIENT)
    if flags & FLAG_WILL:
        if version == MQTT_5:
            mqtt_properties(reader, field, OF_WILL)
        mqtt_text(reader, field, FIELD_WILL_TOPIC)
        mqtt_text(reader, field, FIELD_WILL)
        if version == MQTT_5:
            number_absent(field, OF_WILL)
    if flags & FLAG_NAME:
        mqtt_text(reader, field, FIELD_NAME)
    if flags & FLAG_PASSWORD:
        mqtt_text(reader, field, FIELD_PASSWORD)


cdef inline void connack_read(
        MqttReader *reader, MqttField *field, uint32_t length) noexcept nogil:
    cdef uint32_t flags = mqtt_noted(reader, 1, field, FIELD_FLAGS)
    mqtt_noted(reader, 1, field, FIELD_REASON)
    if flags & 0xFE:
        reader.wrong = True
    if field.sought == FIELD_VERSION:
        field.there = field.numeric = True
        field.number = MQTT_3_1_1 if length == 2 else MQTT_5
    if length != 2:
        mqtt_properties(reader, field, OF_CONNACK)
        number_absent(field, OF_CONNACK)


cdef inline int mqtt_read(
        const uint8_t *bytes, size_t length, int kind, MqttField *field) noexcept nogil:
    """What the bytes are that a packet begins; the field is looked for in packets of this kind."""
    cdef MqttReader reader
    cdef uint32_t size
    cdef const uint8_t *begin
    reader.at = bytes
    reader.end = bytes + length
    reader.wrong = False
    if length < 2:
        return MQTT_SHORT
    if bytes[0] != MQTT_CONNECT << 4 and bytes[0] != MQTT_CONNACK << 4:
        return MQTT_WRONG
    reader.at += 1
    size = mqtt_varint(&reader)
    if reader.wrong:
        return MQTT_SHORT if length <= VARINT_BYTES_MAX else MQTT_WRONG
    if <size_t>(reader.end - reader.at) < size:
        return MQTT_SHORT
    begin = reader.at
    if kind != bytes[0] >> 4:
        field.sought = -1
    if bytes[0] >> 4 == MQTT_CONNECT:
        connect_read(&reader, field)
    else:
        connack_read(&reader, field, size)
    return MQTT_RIGHT if not reader.wrong and reader.at == begin + size else MQTT_WRONG


cdef inline bint mqtt_converted(
        const Step *step, Scratch *scratch, Sample *sample) noexcept nogil:
    """Whether bytes are a packet, or what a field of it has; of a part there is no sample yet."""
    cdef MqttField field
    cdef Text text
    cdef int verdict
    field.sought = -1 if step.convert == CONVERT_MQTT_VALID else step.numbers[1]
    field.there = False
    verdict = mqtt_read(
        <const uint8_t *>sample.text, sample.length, <int>step.numbers[0], &field)
    sample.unsettled = verdict == MQTT_SHORT
    if verdict == MQTT_SHORT:
        return False
    if step.convert == CONVERT_MQTT_VALID:
        return set_truth(sample, verdict == MQTT_RIGHT)
    if verdict == MQTT_WRONG or not field.there or (not field.numeric and field.length == 0):
        return False
    if field.numeric:
        text = text_over(take_scratch(scratch), SCRATCH_BYTES)
        put_number(&text, <int64_t>field.number)
        set_text(sample, text.start, text.at - text.start)
    else:
        set_text(sample, <const char *>field.text, field.length)
    return True
