// go-mesh-app calls a Spring service by its name, through libproxyless.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"demo/go-mesh-app/mesh"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8085", "address to listen on")
	options := flag.String("options", "{}", "options of libproxyless, a JSON object")
	flag.Parse()
	client, err := mesh.Open(*options)
	if err != nil {
		log.Fatal(err)
	}
	provider, err := client.Watch("spring-provider")
	if err != nil {
		log.Fatal(err)
	}
	caller := &http.Client{Timeout: 5 * time.Second}
	http.HandleFunc("/java", func(w http.ResponseWriter, _ *http.Request) {
		address, err := provider.Pick()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		response, err := caller.Get("http://" + address + "/hello")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		fmt.Fprintf(w, "[Service Mesh APP] -> %s", body)
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}
