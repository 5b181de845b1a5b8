// SPDX-License-Identifier: Apache-2.0

// Command xdsdump asks an ADS server, as a sidecar would, for all clusters, and for the endpoints and routes that are named on
// standard input; it prints every resource as JSON, so that two servers can be compared field by field.
//
// A line of input is a type (clusters, endpoints, routes) and names; the answer is one line, an object from name to resource.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	// Types that resources may hold.
	_ "github.com/cncf/xds/go/udpa/type/v1"
	_ "github.com/cncf/xds/go/xds/type/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

var urls = map[string]string{
	"clusters":  "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	"endpoints": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	"routes":    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}

func main() {
	server := flag.String("server", "", "host:port of plaintext ADS")
	namespace := flag.String("namespace", "demo", "namespace of the node")
	flag.Parse()
	if err := run(*server, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "xdsdump:", err)
		os.Exit(1)
	}
}

func run(server, namespace string) error {
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			continue
		}
		found, err := ask(connection, namespace, words[0], words[1:])
		if err != nil {
			return err
		}
		line, err := json.Marshal(found)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return in.Err()
}

// ask opens a stream of its own, so that the answer is the server's whole state.
func ask(connection *grpc.ClientConn, namespace, kind string, names []string) (map[string]json.RawMessage, error) {
	url, known := urls[kind]
	if !known {
		return nil, fmt.Errorf("%q is none of clusters, endpoints, routes", kind)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes", "INSTANCE_IPS": "127.0.0.9", "DISABLE_HBONE_SEND": "true",
	})
	if err != nil {
		return nil, err
	}
	node := &core.Node{Id: "sidecar~127.0.0.9~dump." + namespace + "~" + namespace + ".svc.cluster.local", Metadata: metadata}
	if kind == "clusters" {
		names = []string{"*"}
	}
	request := &discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: url, ResourceNamesSubscribe: names}
	if err := stream.Send(request); err != nil {
		return nil, err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if response.TypeUrl != url {
			continue
		}
		found := map[string]json.RawMessage{}
		for _, resource := range response.Resources {
			message, err := resource.Resource.UnmarshalNew()
			if err != nil {
				return nil, err
			}
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("%s", resource.Name), err)
			}
			found[resource.Name] = text
		}
		return found, stream.CloseSend()
	}
}
