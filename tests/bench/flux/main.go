// Command flux applies the projects of a state repository as Flux's kustomize-controller does: a secure build of each
// project's folder, and a staged server-side apply (get, dry run, apply) of what it gave. It is the peer of the figures
// that `cargo bench --bench reconciler` prints.
//
// Usage: flux KUBECONFIG NAMESPACE STATE-REPOSITORY CONCURRENCY
//
// It prints the wall-clock seconds, the projects and the objects that were changed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 4 {
		return fmt.Errorf("usage: flux KUBECONFIG NAMESPACE STATE-REPOSITORY CONCURRENCY")
	}
	namespace, root := arguments[1], arguments[2]
	concurrency, err := strconv.Atoi(arguments[3])
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", arguments[0])
	if err != nil {
		return err
	}
	// As the controller's defaults.
	config.QPS, config.Burst = 50, 300
	kube, err := newClient(config)
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(root, "projects", "*"))
	if err != nil {
		return err
	}

	began := time.Now()
	work := make(chan string)
	var group sync.WaitGroup
	var lock sync.Mutex
	changed, failed := 0, error(nil)
	for range concurrency {
		group.Add(1)
		go func() {
			defer group.Done()
			for folder := range work {
				count, err := apply(kube, root, folder, namespace)
				lock.Lock()
				changed += count
				if err != nil {
					failed = fmt.Errorf("%s: %w", folder, err)
				}
				lock.Unlock()
			}
		}()
	}
	for _, folder := range folders {
		work <- folder
	}
	close(work)
	group.Wait()
	fmt.Printf("%.3f %d %d\n", time.Since(began).Seconds(), len(folders), changed)
	return failed
}

func newClient(config *rest.Config) (client.Client, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, transport)
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{HTTPClient: transport, Mapper: mapper})
}

func apply(kube client.Client, root, folder, namespace string) (int, error) {
	resources, err := kustomize.SecureBuild(root, folder, false)
	if err != nil {
		return 0, err
	}
	text, err := resources.AsYaml()
	if err != nil {
		return 0, err
	}
	objects, err := utils.ReadObjects(bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	for _, object := range objects {
		object.SetNamespace(namespace)
	}
	manager := ssa.NewResourceManager(kube, nil, ssa.Owner{Field: "flux-peer", Group: "peer.example"})
	manager.SetConcurrency(4)
	changes, err := manager.ApplyAllStaged(context.Background(), objects, ssa.DefaultApplyOptions())
	if err != nil {
		return 0, err
	}
	count := 0
	for _, entry := range changes.Entries {
		if entry.Action != ssa.UnchangedAction {
			count++
		}
	}
	return count, nil
}
