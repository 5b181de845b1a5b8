// SPDX-License-Identifier: Apache-2.0

// Command istiod runs the production istiod on loopback, with an in-memory Kubernetes API in place of a cluster.
//
// It reads commands from standard input, one JSON object a line, and answers each with a line on standard output: Kubernetes and
// Istio objects to apply or delete, with the time at which the API had them. The first line that it writes says where it listens.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"istio.io/istio/pilot/pkg/bootstrap"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/log"
)

// ready is the first line on standard output.
type ready struct {
	GRPC   string `json:"grpc"`
	Secure string `json:"secure"`
	HTTP   string `json:"http"`
	// Root is the certificate of the CA, PEM.
	Root string `json:"root"`
}

func main() {
	grpc := flag.String("grpc", "127.0.0.1:0", "plaintext xDS")
	secure := flag.String("secure", "127.0.0.1:0", "xDS and CA over TLS")
	http := flag.String("http", "127.0.0.1:0", "debug and metrics")
	maxAge := flag.Duration("max-age", 0, "longest life of a connection; 0 is istiod's default")
	logLevel := flag.String("log", "warn", "log level, on standard error")
	file := flag.String("file", "", "YAML to serve, and again whenever it changes, instead of commands from standard input")
	flag.Parse()
	if err := run(*grpc, *secure, *http, *maxAge, *logLevel, *file); err != nil {
		fmt.Fprintln(os.Stderr, "istiod:", err)
		os.Exit(1)
	}
}

func run(grpc, secure, http string, maxAge time.Duration, logLevel, file string) error {
	for _, address := range []*string{&grpc, &secure, &http} {
		if err := choosePort(address); err != nil {
			return err
		}
	}
	if err := configureLog(logLevel); err != nil {
		return err
	}
	client := kube.NewFakeClient()
	acceptTestTokens(client.Kube().(*fake.Clientset))
	objects, err := newObjects(client)
	if err != nil {
		return err
	}
	args := bootstrap.NewPilotArgs(func(p *bootstrap.PilotArgs) {
		p.Namespace = "istio-system"
		p.ServerOptions = bootstrap.DiscoveryServerOptions{
			HTTPAddr: http, GRPCAddr: grpc, SecureGRPCAddr: secure,
			TLSOptions: bootstrap.TLSOptions{TLSMinVersion: bootstrap.TLSMinVersion1_2},
		}
		p.RegistryOptions.Registries = []string{"Kubernetes"}
		p.RegistryOptions.KubeOptions.DomainSuffix = "cluster.local"
		p.RegistryOptions.KubeOptions.ClusterID = cluster.ID("Kubernetes")
		p.ShutdownDuration = 100 * time.Millisecond
		if maxAge > 0 {
			p.KeepaliveOptions.MaxServerConnectionAge = maxAge
		}
	})
	if err := args.Complete(); err != nil {
		return err
	}
	server, err := bootstrap.NewServer(args, func(s *bootstrap.Server) { useClient(s, client) })
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	if err := server.Start(stop); err != nil {
		return err
	}
	root, err := rootCertificate(client)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(ready{GRPC: grpc, Secure: secure, HTTP: http, Root: root}); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if file != "" {
		serveFile(objects, file, signals)
	} else {
		serve(objects, out, signals)
	}
	close(stop)
	server.WaitUntilCompletion()
	return nil
}

// serve answers commands until standard input ends or the process is told to stop.
func serve(objects *objects, out *json.Encoder, signals <-chan os.Signal) {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(os.Stdin)
		in.Buffer(nil, 64<<20)
		for in.Scan() {
			lines <- append([]byte(nil), in.Bytes()...)
		}
	}()
	for {
		select {
		case line, open := <-lines:
			if !open {
				return
			}
			if err := out.Encode(objects.answer(line)); err != nil {
				return
			}
		case <-signals:
			return
		}
	}
}

// serveFile applies what a file says, again whenever it changes, until the process is told to stop. A file that is wrong changes
// nothing.
func serveFile(objects *objects, path string, signals <-chan os.Signal) {
	var seen time.Time
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if info, err := os.Stat(path); err == nil && !info.ModTime().Equal(seen) {
			seen = info.ModTime()
			if err := objects.syncFile(path); err != nil {
				fmt.Fprintln(os.Stderr, "istiod:", err)
			}
		}
		select {
		case <-look.C:
		case <-signals:
			return
		}
	}
}

// choosePort replaces port 0 by a free one, from below the range that the kernel gives to everybody else: between choosing and
// listening nobody must take it.
func choosePort(address *string) error {
	host, port, err := net.SplitHostPort(*address)
	if err != nil || port != "0" {
		return err
	}
	for range 100 {
		chosen := net.JoinHostPort(host, strconv.Itoa(16000+rand.IntN(16000)))
		listener, err := net.Listen("tcp", chosen)
		if err == nil {
			*address = chosen
			return listener.Close()
		}
	}
	return errors.New("no free port was found")
}

func configureLog(level string) error {
	levels := map[string]log.Level{
		"none": log.NoneLevel, "error": log.ErrorLevel, "warn": log.WarnLevel, "info": log.InfoLevel, "debug": log.DebugLevel,
	}
	chosen, known := levels[level]
	if !known {
		return fmt.Errorf("-log %s: none, error, warn, info or debug is expected", level)
	}
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	options.SetDefaultOutputLevel("default", chosen)
	return log.Configure(options)
}

// acceptTestTokens makes the API accept tokens of the form test:<namespace>:<service account>.
func acceptTestTokens(clients *fake.Clientset) {
	clients.PrependReactor("create", "tokenreviews", func(action k8stesting.Action) (bool, runtime.Object, error) {
		review := action.(k8stesting.CreateAction).GetObject().(*authv1.TokenReview).DeepCopy()
		parts := strings.Split(review.Spec.Token, ":")
		if len(parts) == 3 && parts[0] == "test" {
			review.Status = authv1.TokenReviewStatus{
				Authenticated: true, Audiences: review.Spec.Audiences,
				User: authv1.UserInfo{
					Username: "system:serviceaccount:" + parts[1] + ":" + parts[2], Groups: []string{"system:serviceaccounts"},
				},
			}
		} else {
			review.Status = authv1.TokenReviewStatus{Authenticated: false, Error: "invalid token"}
		}
		return true, review, nil
	})
}

// useClient puts a client in the place of the one that istiod would make from a kubeconfig.
func useClient(server *bootstrap.Server, client kube.Client) {
	field := reflect.ValueOf(server).Elem().FieldByName("kubeClient")
	if !field.IsValid() {
		panic(errors.New("bootstrap.Server has no field kubeClient: the pinned version of Istio has changed"))
	}
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(client))
}

// rootCertificate is that of the CA which istiod made for itself and keeps in a secret, or of the one in ROOT_CA_DIR.
func rootCertificate(client kube.Client) (string, error) {
	if folder := os.Getenv("ROOT_CA_DIR"); folder != "" {
		root, err := os.ReadFile(folder + "/root-cert.pem")
		return string(root), err
	}
	secret, err := client.Kube().CoreV1().Secrets("istio-system").Get(context.Background(), "istio-ca-secret", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(secret.Data["ca-cert.pem"]), nil
}
