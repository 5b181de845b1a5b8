// go-mesh-app calls a Spring service by its name, through libproxyless.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/signal"
	"syscall"
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
	defer client.Close()
	provider, err := client.Watch("spring-provider")
	if err != nil {
		log.Fatal(err)
	}
	caller := &http.Client{Timeout: 5 * time.Second}
	http.HandleFunc("/java", func(w http.ResponseWriter, r *http.Request) {
		// The list may still be on its way; a caller that has gone is not waited for.
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		address, err := provider.Wait(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+address+"/hello", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		response, err := caller.Do(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		fmt.Fprintf(w, "[Service Mesh APP] -> %s", body)
	})
	serve(*listen)
}

// serve runs until the process is asked to end.
func serve(listen string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: listen}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
