// Package kubernetes holds deploy/kubernetes to what kustomize builds and the API server takes.
package kubernetes

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install" // each group registers its kinds and defaults
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const base = "../../../deploy/kubernetes"

// built decodes what `kubectl apply -k` would send, as the API server decodes it: fields that it
// does not know are errors, and what is left out has its default.
func built(t *testing.T) (all []runtime.Object) {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), base)
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		object.(metav1.Object).SetNamespace("default")
		all = append(all, object)
	}
	return all
}

// one is the object of a kind.
func one[T any](t *testing.T) (found T) {
	t.Helper()
	n := 0
	for _, object := range built(t) {
		if o, ok := object.(T); ok {
			found, n = o, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d of %T", n, found)
	}
	return found
}

func TestTheAPIServerTakesTheManifests(t *testing.T) {
	for _, object := range built(t) {
		var faults field.ErrorList
		switch o := object.(type) {
		case *apps.StatefulSet:
			faults = appsvalidation.ValidateStatefulSet(o, appsvalidation.StatefulSetValidationOptions{}, corevalidation.PodValidationOptions{})
		case *core.Service:
			o.Spec.ClusterIPs = []string{o.Spec.ClusterIP} // the server does so first
			faults = corevalidation.ValidateServiceCreate(o)
		case *core.ConfigMap:
			faults = corevalidation.ValidateConfigMap(o)
		case *policy.PodDisruptionBudget:
			faults = policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{})
		case *networking.NetworkPolicy:
			faults = networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{})
		default:
			t.Errorf("nobody validates a %T", object)
		}
		for _, fault := range faults {
			t.Errorf("%T: %v", object, fault)
		}
	}
}

func TestServiceBudgetAndPolicyChooseThePods(t *testing.T) {
	pods := one[*apps.StatefulSet](t).Spec.Template.Labels
	service, budget, network := one[*core.Service](t), one[*policy.PodDisruptionBudget](t), one[*networking.NetworkPolicy](t)
	if budget.Spec.Selector == nil {
		t.Fatal("the PodDisruptionBudget chooses no pod")
	}
	for name, chosen := range map[string]map[string]string{
		"Service": service.Spec.Selector, "PodDisruptionBudget": budget.Spec.Selector.MatchLabels, "NetworkPolicy": network.Spec.PodSelector.MatchLabels,
	} {
		if !maps.Equal(chosen, pods) {
			t.Errorf("the %s chooses %v, the pods have %v", name, chosen, pods)
		}
	}
	clients := network.Spec.Ingress[0].From[0].PodSelector.MatchLabels
	if want := map[string]string{"holdfast-redis-client": "true"}; !maps.Equal(clients, want) {
		t.Errorf("clients need the labels %v, docs/install.md says %v", clients, want)
	}
}

// loads checks that a server's settings load modules from where its container has the volume that
// the init container copies them into.
func loads(t *testing.T, settings string, init core.Container, into, from []core.VolumeMount) {
	t.Helper()
	if len(init.Args) != 1 {
		t.Fatalf("copy is called with %v", init.Args)
	}
	copied := slices.IndexFunc(into, func(m core.VolumeMount) bool { return m.MountPath == init.Args[0] && !m.ReadOnly })
	if copied < 0 {
		t.Fatalf("no writable volume at %s", init.Args[0])
	}
	seen := slices.IndexFunc(from, func(m core.VolumeMount) bool { return m.Name == into[copied].Name })
	if seen < 0 {
		t.Fatalf("the server does not mount %s", into[copied].Name)
	}
	var loaded []string
	for line := range strings.Lines(settings) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "loadmodule "); ok {
			loaded = append(loaded, path.Base(file))
			if path.Dir(file) != from[seen].MountPath {
				t.Errorf("%s is not in %s", file, from[seen].MountPath)
			}
		}
	}
	if want := []string{"cachelock.so", "taskqueue.so", "distlock.so"}; !slices.Equal(loaded, want) {
		t.Errorf("%v are loaded, want %v", loaded, want)
	}
}

func TestTheServerLoadsTheModulesFromWhereTheyAreCopied(t *testing.T) {
	pod := one[*apps.StatefulSet](t).Spec.Template.Spec
	init, server := pod.InitContainers[0], pod.Containers[0]
	loads(t, one[*core.ConfigMap](t).Data["redis.conf"], init, init.VolumeMounts, server.VolumeMounts)
}

func TestTheValuesForTheChartDoTheSame(t *testing.T) {
	text, err := filesys.MakeFsOnDisk().ReadFile(path.Join(base, "values-bitnami.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type server struct {
		InitContainers    []core.Container
		ExtraVolumes      []core.Volume
		ExtraVolumeMounts []core.VolumeMount
	}
	var values struct {
		Master, Replica     server
		CommonConfiguration string
	}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	for _, s := range []server{values.Master, values.Replica} {
		if len(s.InitContainers) != 1 || len(s.ExtraVolumes) != 1 || s.ExtraVolumes[0].Name != s.ExtraVolumeMounts[0].Name {
			t.Fatalf("%+v", s)
		}
		loads(t, values.CommonConfiguration, s.InitContainers[0], s.InitContainers[0].VolumeMounts, s.ExtraVolumeMounts)
	}
}

// A pod that the "restricted" profile of Pod Security refuses could not run in many clusters.
func TestNoContainerNeedsMoreThanItsVolumes(t *testing.T) {
	pod := one[*apps.StatefulSet](t).Spec.Template.Spec
	if s := pod.SecurityContext; s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Errorf("the pod's security context is %+v", s)
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
			t.Errorf("%s: %+v", c.Name, s)
		}
	}
}
