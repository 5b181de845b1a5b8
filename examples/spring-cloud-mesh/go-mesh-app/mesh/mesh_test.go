package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const built = "../../../../target/quick"

const service = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s}
spec:
  hosts: [%[1]s.default.svc.cluster.local]
  resolution: %[2]s
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [%[3]s]
`

// serve runs the embedded control plane over a file, and returns the options of a client and the file.
func serve(t *testing.T, yaml string) (string, string) {
	t.Helper()
	folder := t.TempDir()
	file, port := filepath.Join(folder, "mesh.yaml"), filepath.Join(folder, "port")
	write(t, file, yaml)
	command := exec.Command(filepath.Join(built, "proxyless"), "serve", file, "--listen", "127.0.0.1:0", "--port-file", port)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if address, err := os.ReadFile(port); err == nil && len(address) > 0 {
			return fmt.Sprintf(`{"server": "http://%s"}`, strings.TrimSpace(string(address))), file
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the control plane does not start")
	return "", ""
}

func write(t *testing.T, file, yaml string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func watch(t *testing.T, options, name string) (*Client, *Service) {
	t.Helper()
	client, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	target, err := client.Watch(name)
	if err != nil {
		t.Fatal(err)
	}
	return client, target
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAnEndpointThatIsAHostNameIsDialledByItsName(t *testing.T) {
	options, _ := serve(t, fmt.Sprintf(service, "outside", "DNS", "{address: backend.example, ports: {http: 8443}}"))
	_, outside := watch(t, options, "outside")
	if address, err := outside.Wait(patience(t)); err != nil || address != "backend.example:8443" {
		t.Fatal(address, err)
	}
}

func TestEveryEndpointGetsItsShareFromManyGoroutines(t *testing.T) {
	options, _ := serve(t, fmt.Sprintf(service, "pair", "STATIC", "{address: 127.0.0.1, weight: 3}, {address: 127.0.0.2, weight: 1}"))
	_, pair := watch(t, options, "pair")
	if _, err := pair.Wait(patience(t)); err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	seen := map[string]int{}
	var callers sync.WaitGroup
	for range 8 {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for range 100 {
				address, err := pair.Pick()
				mutex.Lock()
				seen[address]++
				mutex.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	callers.Wait()
	if seen["127.0.0.1:80"] != 600 || seen["127.0.0.2:80"] != 200 {
		t.Fatal(seen)
	}
}

func TestAWaitEndsWithTheListWithItsContextAndWithTheClient(t *testing.T) {
	options, file := serve(t, fmt.Sprintf(service, "other", "STATIC", "{address: 127.0.0.1}"))
	client, later := watch(t, options, "later")

	short, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := later.Wait(short); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	found := make(chan string)
	go func() {
		address, err := later.Wait(patience(t))
		found <- fmt.Sprint(address, err)
	}()
	write(t, file, fmt.Sprintf(service, "later", "STATIC", "{address: 127.0.0.9}"))
	if address := <-found; address != "127.0.0.9:80<nil>" {
		t.Fatal(address)
	}

	never, err := client.Watch("never")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := never.Wait(context.Background())
		ended <- err
	}()
	client.Close()
	client.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := client.Watch("more"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
