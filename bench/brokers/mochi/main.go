// mochi-mqtt as its documentation starts it: everything in memory.
package main

import (
	"log"
	"os"
	"os/signal"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClients = 1 << 20
	capabilities.MaximumClientWritesPending = 1 << 17
	server := mqtt.New(&mqtt.Options{Capabilities: capabilities})
	fatal(server.AddHook(new(auth.AllowHook), nil))
	fatal(server.AddListener(listeners.NewTCP(listeners.Config{ID: "bench", Address: os.Args[1]})))
	fatal(server.Serve())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	_ = server.Close()
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
