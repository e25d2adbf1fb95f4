// A Terraform provider that has the schemas of another one and nothing behind them: it takes what the schemas allow,
// plans what it has to work out as unknown, and makes values up when it applies. The schemas lie in schema.json beside
// the program. It talks to nobody but Terraform.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log"
	"math/big"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type                         json.RawMessage
	Optional, Required, Computed bool
}

type nested struct {
	Mode  string `json:"nesting_mode"`
	Block block
	Min   int64 `json:"min_items"`
	Max   int64 `json:"max_items"`
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nested `json:"block_types"`
}

type schema struct {
	Version int64
	Block   block
}

type schemas struct {
	Provider  schema
	Resources map[string]schema `json:"resource_schemas"`
	Data      map[string]schema `json:"data_source_schemas"`
}

var modes = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	"map":    tfprotov5.SchemaNestedBlockNestingModeMap,
}

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		log.Fatal(err)
	}
	provider := &server{}
	if err := json.Unmarshal(text, &provider.schemas); err != nil {
		log.Fatal(err)
	}
	serve := func() tfprotov5.ProviderServer { return provider }
	if err := tf5server.Serve("registry.terraform.io/hashicorp/schemas", serve); err != nil {
		log.Fatal(err)
	}
}

func (b block) protocol() *tfprotov5.SchemaBlock {
	made := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		kind, err := tftypes.ParseJSONType(a.Type) //nolint:staticcheck // There is no other parser of it.
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: kind, Optional: a.Optional, Required: a.Required, Computed: a.Computed,
		})
	}
	for name, n := range b.Blocks {
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: n.Block.protocol(), Nesting: modes[n.Mode], MinItems: n.Min, MaxItems: n.Max,
		})
	}
	return made
}

func protocol(all map[string]schema) map[string]*tfprotov5.Schema {
	made := map[string]*tfprotov5.Schema{}
	for name, s := range all {
		made[name] = &tfprotov5.Schema{Version: s.Version, Block: s.Block.protocol()}
	}
	return made
}

// server answers what Terraform asks of a provider without imports, functions and ephemeral resources.
type server struct {
	tfprotov5.ProviderServer
	schemas schemas
}

func (s *server) GetMetadata(
	context.Context, *tfprotov5.GetMetadataRequest,
) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (s *server) GetProviderSchema(
	context.Context, *tfprotov5.GetProviderSchemaRequest,
) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: s.schemas.Provider.Block.protocol()},
		ResourceSchemas:   protocol(s.schemas.Resources),
		DataSourceSchemas: protocol(s.schemas.Data),
	}, nil
}

func (s *server) GetResourceIdentitySchemas(
	context.Context, *tfprotov5.GetResourceIdentitySchemasRequest,
) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (s *server) PrepareProviderConfig(
	_ context.Context, request *tfprotov5.PrepareProviderConfigRequest,
) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (s *server) ConfigureProvider(
	context.Context, *tfprotov5.ConfigureProviderRequest,
) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (s *server) StopProvider(
	context.Context, *tfprotov5.StopProviderRequest,
) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s *server) ValidateResourceTypeConfig(
	context.Context, *tfprotov5.ValidateResourceTypeConfigRequest,
) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) ValidateDataSourceConfig(
	context.Context, *tfprotov5.ValidateDataSourceConfigRequest,
) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (s *server) UpgradeResourceState(
	_ context.Context, request *tfprotov5.UpgradeResourceStateRequest,
) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := s.schemas.Resources[request.TypeName].Block.protocol().ValueType()
	value, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(kind, value)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

func (s *server) ReadResource(
	_ context.Context, request *tfprotov5.ReadResourceRequest,
) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: request.CurrentState, Private: request.Private}, nil
}

func (s *server) PlanResourceChange(
	_ context.Context, request *tfprotov5.PlanResourceChangeRequest,
) (*tfprotov5.PlanResourceChangeResponse, error) {
	planned := s.schemas.Resources[request.TypeName].Block
	kind := planned.protocol().ValueType()
	proposed, err := request.ProposedNewState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	if proposed.IsNull() {
		return &tfprotov5.PlanResourceChangeResponse{PlannedState: request.ProposedNewState}, nil
	}
	prior, err := request.PriorState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(kind, planned.leaveOpen(proposed, prior))
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: &state}, err
}

func (s *server) ApplyResourceChange(
	_ context.Context, request *tfprotov5.ApplyResourceChangeRequest,
) (*tfprotov5.ApplyResourceChangeResponse, error) {
	kind := s.schemas.Resources[request.TypeName].Block.protocol().ValueType()
	planned, err := request.PlannedState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(kind, madeUp(request.TypeName, planned))
	return &tfprotov5.ApplyResourceChangeResponse{NewState: &state}, err
}

func (s *server) ReadDataSource(
	_ context.Context, request *tfprotov5.ReadDataSourceRequest,
) (*tfprotov5.ReadDataSourceResponse, error) {
	read := s.schemas.Data[request.TypeName].Block
	kind := read.protocol().ValueType()
	asked, err := request.Config.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	answer := madeUp(request.TypeName, read.leaveOpen(asked, tftypes.NewValue(kind, nil)))
	state, err := tfprotov5.NewDynamicValue(kind, answer)
	return &tfprotov5.ReadDataSourceResponse{State: &state}, err
}

// leaveOpen is the value with each computed attribute that nobody set as it was before, or else unknown.
func (b block) leaveOpen(value, prior tftypes.Value) tftypes.Value {
	if value.IsNull() || !value.IsKnown() {
		return value
	}
	fields, before := map[string]tftypes.Value{}, map[string]tftypes.Value{}
	if err := value.As(&fields); err != nil {
		log.Fatal(err)
	}
	if !prior.IsNull() && prior.IsKnown() {
		if err := prior.As(&before); err != nil {
			log.Fatal(err)
		}
	}
	for name, a := range b.Attributes {
		if !a.Computed || !fields[name].IsNull() {
			continue
		}
		if was, ok := before[name]; ok {
			fields[name] = was
		} else {
			fields[name] = tftypes.NewValue(fields[name].Type(), tftypes.UnknownValue)
		}
	}
	for name, n := range b.Blocks {
		fields[name] = n.leaveOpen(fields[name], before[name])
	}
	return tftypes.NewValue(value.Type(), fields)
}

func (n nested) leaveOpen(value, prior tftypes.Value) tftypes.Value {
	if n.Mode == "single" {
		return n.Block.leaveOpen(value, prior)
	}
	var items, before []tftypes.Value
	if value.IsNull() || !value.IsKnown() || value.As(&items) != nil {
		return value
	}
	if !prior.IsNull() && prior.IsKnown() {
		if err := prior.As(&before); err != nil {
			log.Fatal(err)
		}
	}
	for at, item := range items {
		was := tftypes.NewValue(item.Type(), nil)
		if at < len(before) {
			was = before[at]
		}
		items[at] = n.Block.leaveOpen(item, was)
	}
	return tftypes.NewValue(value.Type(), items)
}

// madeUp is the value with something in place of all that is unknown, the same each time.
func madeUp(seed string, value tftypes.Value) tftypes.Value {
	made, err := tftypes.Transform(value, func(path *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if v.IsKnown() {
			return v, nil
		}
		kind, hash := v.Type(), fnv.New32a()
		fmt.Fprint(hash, seed, value.String(), path.String())
		switch {
		case kind.Is(tftypes.String):
			return tftypes.NewValue(kind, fmt.Sprintf("made-up-%08x", hash.Sum32())), nil
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, big.NewFloat(0)), nil
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, false), nil
		case kind.Is(tftypes.List{}), kind.Is(tftypes.Set{}):
			return tftypes.NewValue(kind, []tftypes.Value{}), nil
		case kind.Is(tftypes.Map{}):
			return tftypes.NewValue(kind, map[string]tftypes.Value{}), nil
		}
		return tftypes.NewValue(kind, nil), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	return made
}
