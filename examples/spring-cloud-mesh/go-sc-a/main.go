// go-sc-a is an ordinary HTTP service that knows nothing of the mesh.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
)

func main() {
	listen := flag.String("listen", "127.0.0.11:8081", "address to listen on")
	version := flag.String("version", "v1", "version to answer with")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	ip := listener.Addr().(*net.TCPAddr).IP
	http.HandleFunc("/A", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "[Service Mesh APP %s] go-sc-a %s", ip, *version)
	})
	log.Fatal(http.Serve(listener, nil))
}
