"""Event Grid's getting_started sample in Python: subscribes sample/+, publishes to sample/topic1, prints what comes back."""
import ssl
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

host, port, version, name, ca, cert, key = sys.argv[1:8]
protocol = mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{name}-paho-{version}", protocol=protocol)
client.username_pw_set(name)
if ca:
    client.tls_set(ca_certs=ca, certfile=cert, keyfile=key, cert_reqs=ssl.CERT_REQUIRED)


def on_connect(client, userdata, flags, reason_code, properties):
    print(f"connected: {reason_code}", flush=True)
    if reason_code.is_failure:
        client.disconnect()
        return
    client.subscribe("sample/+", qos=1)


def on_subscribe(client, userdata, mid, reason_codes, properties):
    print(f"subscribed: {[str(each) for each in reason_codes]}", flush=True)
    client.publish("sample/topic1", "hello world!", qos=1)


def on_publish(client, userdata, mid, reason_code, properties):
    print("published", flush=True)


def on_message(client, userdata, message):
    print(f"received {message.topic} {message.payload.decode()} {message.qos}", flush=True)
    client.disconnect()


client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_publish = on_publish
client.on_message = on_message
client.connect(host, int(port), keepalive=30)
client.loop_forever()
