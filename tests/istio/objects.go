// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	k8stesting "k8s.io/client-go/testing"

	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube"
)

// command is one line of standard input: exactly one of its verbs.
type command struct {
	ID     int             `json:"id"`
	Apply  json.RawMessage `json:"apply"`
	Delete json.RawMessage `json:"delete"`
}

// answer is one line of standard output.
type answer struct {
	ID int `json:"id"`
	// At is when the API had the change, in nanoseconds since 1970.
	At    int64  `json:"at"`
	Error string `json:"error,omitempty"`
}

// objects is the in-memory API as far as commands change it.
type objects struct {
	kubernetes k8stesting.ObjectTracker
	istio      k8stesting.ObjectTracker
	// synced are the objects of the file that is served.
	synced map[string]runtime.Object
}

// newObjects also tells the API that Istio's resource definitions are installed, without which istiod does not look for them.
func newObjects(client kube.Client) (*objects, error) {
	metadata, ok := client.Metadata().(*metadatafake.FakeMetadataClient)
	if !ok {
		return nil, fmt.Errorf("the client's metadata is %T: the pinned version of Istio has changed", client.Metadata())
	}
	definitions, ok := metadata.Resource(gvr.CustomResourceDefinition).(metadatafake.MetadataClient)
	if !ok {
		return nil, fmt.Errorf("fake metadata cannot be written: the pinned version of client-go has changed")
	}
	for _, kind := range collections.Pilot.All() {
		resource := kind.GroupVersionResource()
		definition := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: resource.Resource + "." + resource.Group}}
		if _, err := definitions.CreateFake(definition, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	return &objects{
		kubernetes: client.Kube().(*fake.Clientset).Tracker(),
		istio:      client.Istio().(*istiofake.Clientset).Tracker(),
	}, nil
}

func (o *objects) answer(line []byte) answer {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return answer{Error: err.Error()}
	}
	reply := answer{ID: c.ID}
	if err := o.do(c); err != nil {
		reply.Error = err.Error()
	}
	reply.At = time.Now().UnixNano()
	return reply
}

func (o *objects) do(c command) error {
	switch {
	case c.Apply != nil:
		object, err := decode(c.Apply)
		if err != nil {
			return err
		}
		return o.apply(object)
	case c.Delete != nil:
		object, err := decode(c.Delete)
		if err != nil {
			return err
		}
		tracker, resource, name := o.place(object)
		return tracker.Delete(resource, name.GetNamespace(), name.GetName())
	}
	return fmt.Errorf("neither apply nor delete")
}

func (o *objects) apply(object runtime.Object) error {
	tracker, resource, name := o.place(object)
	if _, err := tracker.Get(resource, name.GetNamespace(), name.GetName()); err != nil {
		return tracker.Create(resource, object, name.GetNamespace())
	}
	return tracker.Update(resource, object, name.GetNamespace())
}

// syncFile makes the API hold what a file of YAML says, and no longer what an earlier state of it said.
func (o *objects) syncFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	next := map[string]runtime.Object{}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, err := decode(document)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		_, resource, name := o.place(object)
		next[resource.String()+"/"+name.GetNamespace()+"/"+name.GetName()] = object
	}
	for key, object := range next {
		if !reflect.DeepEqual(o.synced[key], object) {
			if err := o.apply(object); err != nil {
				return err
			}
		}
	}
	for key, object := range o.synced {
		if _, stays := next[key]; !stays {
			tracker, resource, name := o.place(object)
			if err := tracker.Delete(resource, name.GetNamespace(), name.GetName()); err != nil {
				return err
			}
		}
	}
	o.synced = next
	return nil
}

func decode(text []byte) (runtime.Object, error) {
	object, kind, err := kube.IstioCodec.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	return object, nil
}

// place is where an object is kept: Istio's kinds have a tracker of their own.
func (o *objects) place(object runtime.Object) (k8stesting.ObjectTracker, schema.GroupVersionResource, metav1.Object) {
	kind := object.GetObjectKind().GroupVersionKind()
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	name, _ := meta.Accessor(object)
	if known, found := collections.All.FindByGroupVersionKind(resourceKind(kind)); found {
		resource = known.GroupVersionResource()
		if known.Group() == "networking.istio.io" || known.Group() == "security.istio.io" || known.Group() == "telemetry.istio.io" {
			return o.istio, resource, name
		}
	}
	return o.kubernetes, resource, name
}

func resourceKind(kind schema.GroupVersionKind) config.GroupVersionKind {
	return config.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind}
}
